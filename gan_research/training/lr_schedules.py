"""Schedules of learning rates that torch doesn't have."""

from typing import Annotated, Any

from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from gan_research.utils.errors import UserError


class DecayWithMomentum(LRScheduler):
    """Learning rate that decays per round, with a rising momentum (Goodfellow et al. 2014).

    In round t = 0, 1, ... the rate is max(lr / decay^t, min_lr). In epoch e = 1, 2, ..., of `epoch` rounds, the
    momentum is m + a (final_momentum - m), where a = (e - start) / (saturate - start), clipped to [0, 1]; m and lr are
    the optimizer's initial values. An optimizer without momentum, such as Adam, has its first beta scheduled.
    (ExponentialDecay and MomentumAdjustor of pylearn2, as configured in the authors' mnist.yaml.)
    """

    def __init__(
        self,
        optimizer: Optimizer,
        decay: Annotated[float, Field(ge=1)] = 1.000004,
        min_lr: NonNegativeFloat = 1e-6,
        final_momentum: float = 0.7,
        start: int = 1,
        saturate: int = 250,
        epoch: PositiveInt = 500,
    ) -> None:
        if decay < 1 or saturate <= start or epoch < 1:
            raise UserError(
                f"lr_schedule: decay={decay} has to be at least 1, saturate={saturate} more than start={start}, and "
                f"epoch={epoch} at least 1"
            )
        self.decay, self.min_lr, self.final_momentum = decay, min_lr, final_momentum
        self.start, self.saturate, self.epoch = start, saturate, epoch
        self.base_momenta = [momentum(group) for group in optimizer.param_groups]
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        return [max(float(lr) / self.decay**self.last_epoch, self.min_lr) for lr in self.base_lrs]

    def get_momentum(self) -> list[float]:
        """Return the momentum of each parameter group in round `last_epoch`."""
        epoch = 1 + self.last_epoch // self.epoch
        fraction = min(max((epoch - self.start) / (self.saturate - self.start), 0.0), 1.0)
        return [m + fraction * (self.final_momentum - m) for m in self.base_momenta]

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        for group, value in zip(self.optimizer.param_groups, self.get_momentum(), strict=True):
            group.update({"momentum": value} if "momentum" in group else {"betas": (value, *group["betas"][1:])})


def momentum(group: dict[str, Any]) -> float:
    """Return the momentum of a parameter group."""
    if "momentum" not in group and "betas" not in group:
        raise UserError("lr_schedule: the optimizer has no momentum to schedule: set optimizer=sgd or optimizer=adam")
    return group["momentum"] if "momentum" in group else group["betas"][0]
