"""Lightning strategies for a game of several players on several processes."""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer

from gan_research.distributed.collectives import GradientAverage, broadcast_tensors
from gan_research.distributed.group import TIMEOUT, backend, collective, raise_on_all_ranks
from gan_research.utils.errors import UserError
from gan_research.utils.lightning_compat import skip_sigterm_broadcast

T = TypeVar("T")

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

REFUSED = {
    "deepspeed": "DeepSpeed takes one optimizer, and a game has two",
    "fsdp": "FSDP expects one backward for each forward, and is not proved for two players and second-order gradients",
    "modelparallel": "FSDP2 is not proved for two players and second-order gradients",
    "ddp": "Lightning's DDP reduces both players in each backward, and fails where one of them has no gradient",
}
ADVICE = "take trainer=ddp (or ddp_lightning, ddp_zero)"


class PlayerDDPStrategy(DDPStrategy):
    """Data-parallel play: the gradients of the player that moves are averaged, once, right before its step.

    No wrapper around the module: any number of backwards, micro-batches and penalties, forward passes of either player
    and second-order gradients are what they are on one device. (StyleGAN2's and R3GAN's training loops reduce in the
    same place.) The game calls `gradient_average` for each player.

    timeout: seconds after which a process that the others wait for is given up.
    """

    def __init__(self, timeout: float = TIMEOUT, **arguments: Any) -> None:
        if timeout <= 0:
            raise UserError(f"trainer.strategy.timeout={timeout:g}: give more than 0 seconds to wait for a process")
        super().__init__(timeout=timedelta(seconds=timeout), **arguments)

    def setup_distributed(self) -> None:
        self._process_group_backend = backend()
        super().setup_distributed()

    def configure_ddp(self) -> None:
        """The module stays as it is; all processes begin with the tensors of the first."""
        assert self.model is not None
        broadcast_tensors(chain(self.model.parameters(), self.model.buffers()))

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        skip_sigterm_broadcast(trainer)  # Preemption asks

    def barrier(self, name: str | None = None) -> None:
        """All processes come here before any goes on."""
        with collective(f"a barrier, {name or 'without a name'}"):
            super().barrier(name)

    def broadcast(self, obj: T, src: int = 0) -> T:
        """What one process holds, in all of them."""
        with collective(f"what process {src} says"):
            return super().broadcast(obj, src)

    def gradient_average(self, player: str, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        """What averages the gradients of a player over the processes."""
        return GradientAverage(parameters, player)

    def optimizer_of(self, make: OptimizerFactory, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """The optimizer of a player: each process holds all of it."""
        return make(parameters)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Written by the first process; where that fails, it fails in all."""
        with raise_on_all_ranks():
            super().save_checkpoint(checkpoint, filepath, storage_options)


class ZeroDDPStrategy(PlayerDDPStrategy):
    """The same, with each process holding a part of each optimizer's state (Rajbhandari et al. 2020, ZeRO, stage 1).

    A checkpoint holds the whole of it, and can be resumed on any number of processes, with or without sharding.
    """

    def optimizer_of(self, make: OptimizerFactory, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """The optimizer of a player, its state sharded by parameters."""
        if not isinstance(make, partial) or make.args or not isinstance(make.func, type):
            raise UserError("trainer=ddp_zero needs optimizers that are partial(CLASS, ...), as in conf/optimizer")
        return ZeroRedundancyOptimizer(list(parameters), make.func, **make.keywords)


def averaging_strategy(strategy: Strategy) -> PlayerDDPStrategy | None:
    """The strategy, where gradients are averaged player by player; None on one device, or where Lightning does it.

    UserError, with the reason, where a game can't be played by it.
    """
    if isinstance(strategy, PlayerDDPStrategy):
        return strategy
    if isinstance(strategy, SingleDeviceStrategy):
        return None
    if type(strategy) is DDPStrategy and strategy._ddp_kwargs.get("find_unused_parameters"):
        return None
    refuse(type(strategy).__name__.removesuffix("Strategy"))
    raise UserError(f"a game isn't proved right under {type(strategy).__name__}: {ADVICE}")


def refuse(name: str) -> None:
    """Raise, with the reason, where a strategy of this name (Lightning's, or a class's) can't play a game."""
    plain = name.lower().replace("_", "")
    if plain.startswith("ddp") and plain.endswith("findunusedparameterstrue"):
        return
    for start, reason in REFUSED.items():
        if plain.startswith(start):
            raise UserError(f"trainer.strategy={name}: {reason}; {ADVICE}")
