"""Lightning strategies for a game of two players on several processes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from pydantic import PositiveFloat
from pytorch_lightning import Trainer
from pytorch_lightning.strategies import DDPStrategy, SingleDeviceStrategy, Strategy
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.optim import Optimizer

from gan_research.distributed.collectives import GradientAverage, broadcast_tensors
from gan_research.distributed.group import TIMEOUT, backend, collective, raise_on_all_ranks
from gan_research.distributed.sharding import shard, sharded_state, whole, whole_state
from gan_research.utils.errors import UserError
from gan_research.utils.lightning_compat import skip_sigterm_broadcast

T = TypeVar("T")

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]

REFUSED = {
    "deepspeed": "DeepSpeed takes one optimizer, and a game has two",
    "fsdp": "Lightning's FSDP wraps both players as one, with one backward for each forward; trainer=fsdp is ours",
    "modelparallel": "Lightning's FSDP2 doesn't know the two players; trainer=fsdp is ours",
    "ddp": "Lightning's DDP reduces both players in each backward, and fails where one of them has no gradient",
}
ADVICE = "take trainer=ddp (or ddp_lightning, ddp_zero)"


class PlayerDDPStrategy(DDPStrategy):
    """Data-parallel training: a player's gradients are averaged once, right before its step.

    The module isn't wrapped: micro-batches, penalties, forward passes of either player and second-order gradients are
    the same as on one device. (StyleGAN2's and R3GAN's training loops reduce in the same place.) The game calls
    `gradient_average` for each player.

    timeout: seconds after which a process that doesn't answer counts as lost.
    """

    def __init__(self, timeout: PositiveFloat = TIMEOUT, **arguments: Any) -> None:
        if timeout <= 0:
            raise UserError(f"trainer.strategy.timeout={timeout:g}: give more than 0 seconds to wait for a process")
        super().__init__(timeout=timedelta(seconds=timeout), **arguments)

    def setup_distributed(self) -> None:
        self._process_group_backend = backend()
        super().setup_distributed()

    def configure_ddp(self) -> None:
        """Broadcast the tensors of rank zero; the module isn't wrapped."""
        assert self.model is not None
        broadcast_tensors(chain(self.model.parameters(), self.model.buffers()))

    def setup(self, trainer: Trainer) -> None:
        super().setup(trainer)
        skip_sigterm_broadcast(trainer)  # Preemption asks

    def barrier(self, name: str | None = None) -> None:
        with collective(f"a barrier, {name or 'without a name'}"):
            super().barrier(name)

    def broadcast(self, obj: T, src: int = 0) -> T:
        with collective(f"a broadcast from process {src}"):
            return super().broadcast(obj, src)

    def gradient_average(self, player: str, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        """Return a function that averages a player's gradients over the ranks."""
        return GradientAverage(parameters, player)

    def optimizer_of(self, make: OptimizerFactory, parameters: Iterable[nn.Parameter]) -> Optimizer:
        """Return the optimizer of a player, whose whole state each rank holds."""
        return make(parameters)

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: Any, storage_options: Any = None) -> None:
        """Write the checkpoint on rank zero; if that fails, raise on all ranks."""
        with raise_on_all_ranks():
            super().save_checkpoint(checkpoint, filepath, storage_options)


class ZeroDDPStrategy(PlayerDDPStrategy):
    """PlayerDDPStrategy with sharded optimizer states (Rajbhandari et al. 2020, ZeRO, stage 1).

    A checkpoint holds the whole states, and can be resumed on any number of processes, with or without sharding.
    """

    def optimizer_of(self, make: OptimizerFactory, parameters: Iterable[nn.Parameter]) -> Optimizer:
        if not isinstance(make, partial) or make.args or not isinstance(make.func, type):
            raise UserError("trainer=ddp_zero needs optimizers that are partial(CLASS, ...), as in conf/optimizer")
        return ZeroRedundancyOptimizer(list(parameters), make.func, **make.keywords)


class ShardedStrategy(PlayerDDPStrategy):
    """Parameters, gradients, averages and optimizer states sharded over the ranks (torch's fully_shard, ZeRO stage 3).

    torch averages the gradients in each backward pass. A checkpoint holds the whole states, and can be resumed on any
    number of processes, with or without sharding.
    """

    def model_to_device(self) -> None:
        """Keep the networks where they are: as a whole, they might not fit on the device."""

    def configure_ddp(self) -> None:
        super().configure_ddp()
        gan: Any = self.lightning_module
        gan.shard(partial(shard, device=self.root_device))
        gan.to(self.root_device)

    def gradient_average(self, player: str, parameters: Sequence[nn.Parameter]) -> Callable[[], None]:
        return lambda: None

    def lightning_module_state_dict(self) -> dict[str, Any]:
        with collective("the weights of all processes"):
            return {name: whole(tensor) for name, tensor in super().lightning_module_state_dict().items()}

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        with collective("the optimizer's state of all processes"):
            return whole_state(super().optimizer_state(optimizer))

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            optimizer.load_state_dict(sharded_state(state, optimizer))


def averaging_strategy(strategy: Strategy) -> PlayerDDPStrategy | None:
    """Return the strategy if it averages gradients by player; None on one device, or if Lightning averages.

    Raises a UserError with the reason if a game can't be trained by it.
    """
    if isinstance(strategy, PlayerDDPStrategy):
        return strategy
    if isinstance(strategy, SingleDeviceStrategy):
        return None
    if type(strategy) is DDPStrategy and strategy._ddp_kwargs.get("find_unused_parameters"):
        return None
    refuse(type(strategy).__name__.removesuffix("Strategy"))
    raise UserError(f"a game isn't tested with {type(strategy).__name__}: {ADVICE}")


def refuse(name: str) -> None:
    """Raise a UserError with the reason if this strategy can't train a game."""
    plain = name.lower().replace("_", "")
    if plain.startswith("ddp") and plain.endswith("findunusedparameterstrue"):
        return
    for start, reason in REFUSED.items():
        if plain.startswith(start):
            raise UserError(f"trainer.strategy={name}: {reason}; {ADVICE}")
