"""One player's optimizer: gradients summed, averaged over ranks, clipped, and the step."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_research.distributed.strategies import PlayerDDPStrategy, averaging_strategy
from gan_research.losses.base import PLAYERS, Player
from gan_research.training.objective import Objective
from gan_research.utils.errors import UserError
from gan_research.utils.lightning_compat import skip_capture_check

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]
SchedulerFactory = Callable[[Optimizer], LRScheduler]


class PlayerOptimizer:
    """Steps a player's optimizer: the gradients of any number of losses, then average -> unscale -> clip -> step.

    average: averages the gradients over the processes, in the place; None where there is nothing to average.
    backward: how a loss is differentiated, where it isn't by torch's own `backward`.
    max_norm: gradients whose L2 norm over all parameters is larger are scaled down to it (Pascanu et al. 2013).
    scaler: in float16 a loss is scaled up, lest its gradients vanish; a step whose gradients overflow is left out. One
        scaler for each player, as their losses differ in scale.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        parameters: Sequence[nn.Parameter],
        average: Callable[[], None] | None = None,
        backward: Callable[..., None] | None = None,
        max_norm: float | None = None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.optimizer, self.parameters = optimizer, list(parameters)
        self.average, self.max_norm, self.scaler = average, max_norm, scaler
        self._backward: Callable[..., None] = backward or Tensor.backward
        if all(p.device.type == "cpu" for p in self.parameters):
            skip_capture_check(optimizer)

    def zero_grad(self) -> None:
        """Clear the gradients."""
        self.optimizer.zero_grad()

    def backward(self, loss: Tensor, only_own: bool = False) -> None:
        """Add the gradients of `loss`; with `only_own` to no other parameters than the player's."""
        inputs = [p for p in self.parameters if p.requires_grad] if only_own else None
        self._backward(loss if self.scaler is None else self.scaler.scale(loss), inputs=inputs)

    def step(self, measured: bool = False) -> Tensor | None:
        """Take the step; return the gradients' L2 norm before clipping, on their device, if it is `measured`."""
        if self.average is not None:
            self.average()
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norm = None
        if measured or self.max_norm is not None:
            norm = torch.nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if self.max_norm is not None:
            assert norm is not None
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.max_norm, norm)
        if self.scaler is None:
            self.optimizer.step()
            return norm
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm if norm is None else norm.nan_to_num(posinf=0.0)  # of a step that was left out

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the gradient scaler."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.scaler is not None and state:
            self.scaler.load_state_dict(state)

    @property
    def learning_rate(self) -> float:
        """The current learning rate of the first parameter group."""
        return self.optimizer.param_groups[0]["lr"]


class PlayerOptimizers(dict[Player, PlayerOptimizer]):
    """Both players' optimizers by player, once training has begun.

    factories: parameters -> optimizer and optimizer -> scheduler, or None, of each player.
    max_norm: as in `PlayerOptimizer`. scaled: whether losses are scaled up, as float16 needs.
    """

    def __init__(
        self,
        factories: Mapping[Player, tuple[OptimizerFactory, SchedulerFactory | None]],
        max_norm: float | None = None,
        scaled: bool = False,
    ) -> None:
        super().__init__()
        self.factories, self.max_norm, self.scaled = {p: factories[p] for p in PLAYERS}, max_norm, scaled
        self._loaded: Mapping[Player, dict[str, Any]] = {}

    def make(
        self, networks: Mapping[Player, nn.Module], strategy: PlayerDDPStrategy | None
    ) -> tuple[list[Optimizer], list[LRScheduler]]:
        """Return the optimizer of each player, and the learning rate schedulers that there are."""
        optimizers, schedulers = [], []
        for player, (make_optimizer, make_scheduler) in self.factories.items():
            make = partial(strategy.optimizer_of, make_optimizer) if strategy else make_optimizer
            try:
                optimizers.append(make(networks[player].parameters()))
            except ValueError as error:  # a setting that torch doesn't take
                raise UserError(f"optimizer.{player}: {error}") from error
            if make_scheduler is not None:
                schedulers.append(make_scheduler(optimizers[-1]))
        return optimizers, schedulers

    def attach(self, module: pl.LightningModule, objective: Objective) -> None:
        """Take the optimizers of the module's trainer, and average gradients as its strategy does."""
        trainer = module.trainer
        strategy = averaging_strategy(trainer.strategy)
        wrapped = trainer.world_size > 1 and strategy is None  # Lightning's wrapper averages in each backward
        for player, optimizer in zip(PLAYERS, trainer.optimizers, strict=True):
            if wrapped and objective.crosses_players[player]:
                raise UserError("trainer=ddp_lightning can't average gradients in both players: take trainer=ddp")
            parameters = list(objective.networks[player].parameters())
            self[player] = PlayerOptimizer(
                optimizer,  # torch's own: Lightning's wrapper costs a sixth of a small round and only counts
                parameters,
                average=strategy.gradient_average(player, parameters) if strategy else None,
                backward=module.manual_backward if wrapped else None,
                max_norm=self.max_norm,
                scaler=torch.amp.GradScaler(module.device.type) if self.scaled else None,
            )
            self[player].load_state_dict(self._loaded.get(player, {}))

    def learning_rates(self) -> dict[Player, float]:
        """Return the current learning rate of each player."""
        return {player: optimizer.learning_rate for player, optimizer in self.items()}

    def state_dict(self) -> dict[Player, dict[str, Any]]:
        """Return the states of the gradient scalers."""
        return {player: optimizer.state_dict() for player, optimizer in self.items()}

    def load_state_dict(self, state: Mapping[Player, dict[str, Any]]) -> None:
        """Load the states of the gradient scalers when the optimizers are attached."""
        self._loaded = state
