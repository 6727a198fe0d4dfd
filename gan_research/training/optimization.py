"""The players' optimizers: gradients are averaged over ranks and clipped before each step."""

import math
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from itertools import combinations
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_research.distributed.sharding import whole
from gan_research.distributed.strategies import PlayerDDPStrategy, averaging_strategy
from gan_research.losses.base import PLAYERS, Player
from gan_research.regularizers import Regularizer
from gan_research.training.objective import Objective
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.lightning_compat import skip_capture_check
from gan_research.utils.ramps import contains_ramp, resolved

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]
Parameters = Mapping[Player, Sequence[nn.Parameter]]


@dataclass
class PlayerOptimizer:
    """Optimizer of one player: backward of any number of losses, then average -> unscale -> clip -> step.

    average: averages the gradients over ranks, in place; None in a single process.
    differentiate: computes the gradients of a loss; torch's own `backward` by default.
    max_norm: gradients with a larger L2 norm over all parameters are scaled down to it (Pascanu et al. 2013).
    scaler: scales losses up in float16, so that gradients don't underflow; a step whose gradients overflow is skipped.
        Each player has its own, as their losses differ in scale.
    ramps: settings of the optimizer that change with the images seen, such as lr or betas.
    updates_per_step: c of `Regularizer.own_step`, by which settings are corrected.
    """

    optimizer: Optimizer
    parameters: Sequence[nn.Parameter]
    average: Callable[[], None] | None = None
    differentiate: Callable[..., None] = Tensor.backward
    max_norm: float | None = None
    scaler: torch.amp.GradScaler | None = None
    ramps: Mapping[str, Any] = field(default_factory=dict)
    updates_per_step: float = 1.0

    def __post_init__(self) -> None:
        if all(p.device.type == "cpu" for p in self.parameters):
            skip_capture_check(self.optimizer)

    def backward(self, loss: Tensor, only_own: bool = False) -> None:
        """Accumulate the gradients of `loss`; with `only_own` in the player's parameters alone."""
        inputs = [p for p in self.parameters if p.requires_grad] if only_own else None
        self.differentiate(loss if self.scaler is None else self.scaler.scale(loss), inputs=inputs)

    def fill_gradients(self) -> None:
        """Give a gradient of 0 to parameters without any, so that all take the step."""
        for parameter in self.parameters:
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)

    def step(self, return_norm: bool = False, images_seen: int = 0) -> Tensor | None:
        """Take an optimizer step, with the settings that ramps have after `images_seen` images.

        Returns the gradients' L2 norm before clipping, on their device, if `return_norm` or if they are clipped.
        """
        for name, value in self.ramps.items():
            for group in self.optimizer.param_groups:
                group[name] = corrected(name, resolved(value, images_seen), self.updates_per_step)
        if self.average is not None:
            self.average()
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = None
        if return_norm or self.max_norm is not None:
            norm = whole(torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None]))
        if self.max_norm is not None:
            assert norm is not None
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.max_norm, norm)
        if self.scaler is None:
            self.optimizer.step()
            return norm
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm if norm is None else norm.nan_to_num(posinf=0.0)  # infinite where the step is skipped


def updates_per_step(regularizers: Iterable[Regularizer], player: Player) -> float:
    """Return the updates of a player per optimizer step, including those of penalties alone.

    It is k / (k + 1) for penalties that are all due in every k-th update. Else the share of updates that are multiples
    of any interval is added up by inclusion and exclusion.
    """
    intervals = {r.every for r in regularizers if r.own_step and player in r.players}
    subsets = (subset for size in range(1, len(intervals) + 1) for subset in combinations(intervals, size))
    share = sum((Fraction((-1) ** (len(subset) + 1), math.lcm(*subset)) for subset in subsets), Fraction(0))
    return float(1 / (1 + share))


def corrected(name: str, value: Any, updates_per_step: float) -> Any:
    """Return a setting of an optimizer with c updates per step: lr * c, or betas^c."""
    if updates_per_step == 1 or name not in ("lr", "betas"):
        return value
    return value * updates_per_step if name == "lr" else tuple(beta**updates_per_step for beta in value)


def without_ramps(make: OptimizerFactory) -> tuple[OptimizerFactory, dict[str, Any]]:
    """Return a factory with the first values of its ramps, and the ramps by name."""
    if not isinstance(make, partial):
        return make, {}
    ramps = {name: value for name, value in make.keywords.items() if contains_ramp(value)}
    first = {name: resolved(value, 0) for name, value in ramps.items()}
    return partial(make.func, *make.args, **make.keywords | first) if ramps else make, ramps


@contextmanager
def accepted_by_torch(key: str) -> Iterator[None]:
    """Raise a UserError that names the key of a setting which torch refuses."""
    try:
        yield
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"{key}: torch refuses its settings: {one_line(error)}") from error


class PlayerOptimizers(dict[Player, PlayerOptimizer]):
    """The optimizer of each player; empty before training starts.

    factories: (parameters -> optimizer, optimizer -> scheduler or None) of each player.
    max_norm: as in `PlayerOptimizer`. scaled: use gradient scalers, for float16. regularizers: those that may have an
        optimizer step of their own.
    """

    def __init__(
        self,
        factories: Mapping[Player, tuple[OptimizerFactory, SchedulerFactory | None]],
        max_norm: float | None = None,
        scaled: bool = False,
        regularizers: Collection[Regularizer] = (),
    ) -> None:
        super().__init__()
        self.updates_per_step = {player: updates_per_step(regularizers, player) for player in PLAYERS}
        self.factories, self.max_norm, self.scaled = {p: factories[p] for p in PLAYERS}, max_norm, scaled
        self._loaded: Mapping[Player, dict[str, Any]] = {}

    def configure(
        self, parameters: Parameters, strategy: PlayerDDPStrategy | None
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return the players' optimizers and learning rate schedulers."""
        made = [self._make(player, parameters[player], strategy) for player in PLAYERS]
        return [optimizer for optimizer, _ in made], [scheduler for _, scheduler in made if scheduler is not None]

    def check(self, parameters: Parameters) -> None:
        """Raise a UserError for a setting that an optimizer or scheduler, or its step, refuses."""
        for player in reversed(PLAYERS):  # by default, the discriminator's settings are the generator's
            _, scheduler = self._make(player, parameters[player], None)
            with accepted_by_torch(f"lr_schedule.{player}"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the optimizer takes no step
                if scheduler is not None:
                    scheduler.step()

    def _make(
        self, player: Player, parameters: Sequence[nn.Parameter], strategy: PlayerDDPStrategy | None
    ) -> tuple[Optimizer, LRScheduler | None]:
        make_optimizer, make_scheduler = self.factories[player]
        make_optimizer, ramps = without_ramps(make_optimizer)
        if "lr" in ramps and make_scheduler is not None:
            raise UserError(f"optimizer.{player}.lr is a ramp: set lr_schedule.{player}=null, or a number")
        make = partial(strategy.optimizer_of, make_optimizer) if strategy else make_optimizer
        with accepted_by_torch(f"optimizer.{player}"):
            optimizer = make(parameters)
        if (c := self.updates_per_step[player]) != 1:
            for group in optimizer.param_groups:
                group.update({name: corrected(name, value, c) for name, value in group.items()})
        with accepted_by_torch(f"lr_schedule.{player}"):
            return optimizer, make_scheduler(optimizer) if make_scheduler is not None else None

    def attach(self, module: pl.LightningModule, objective: Objective) -> None:
        """Wrap the trainer's optimizers; gradients are averaged by the trainer's strategy."""
        trainer = module.trainer
        strategy = averaging_strategy(trainer.strategy)
        wrapped = trainer.world_size > 1 and strategy is None  # Lightning's wrapper averages in each backward
        for player, optimizer in zip(PLAYERS, trainer.optimizers, strict=True):
            if wrapped and objective.crosses_players[player]:
                raise UserError("trainer=ddp_lightning can't average gradients in both players: set trainer=ddp")
            scaler = torch.amp.GradScaler(module.device.type) if self.scaled else None
            if scaler and (state := self._loaded.get(player)):
                scaler.load_state_dict(state)
            parameters = objective.parameters[player]
            self[player] = PlayerOptimizer(
                optimizer,  # torch's own: Lightning's wrapper costs a sixth of a small round and only counts
                parameters,
                average=strategy.gradient_average(player, parameters) if strategy else None,
                differentiate=module.manual_backward if wrapped else Tensor.backward,
                max_norm=self.max_norm,
                scaler=scaler,
                ramps=without_ramps(self.factories[player][0])[1],
                updates_per_step=self.updates_per_step[player],
            )

    def learning_rates(self) -> dict[Player, float]:
        """Return the current learning rate of each player's first parameter group."""
        return {player: optimizer.optimizer.param_groups[0]["lr"] for player, optimizer in self.items()}

    def state_dict(self) -> dict[Player, dict[str, Any]]:
        """Return the states of the gradient scalers."""
        return {player: o.scaler.state_dict() if o.scaler else {} for player, o in self.items()}

    def load_state_dict(self, state: Mapping[Player, dict[str, Any]]) -> None:
        """Keep the states of the gradient scalers for `attach`, which loads them."""
        self._loaded = state
