"""Penalties on the discriminator's logits."""

from typing import Any

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from gan_research.distributed import all_reduce_mean
from gan_research.losses.base import Player
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative
from gan_research.utils.ranges import Fraction


class LabelSmoothing(Regularizer):
    """One-sided smoothing: D's target for reals is 1 - smoothing (Salimans et al. 2016, section 3.4).

    In the logit l, (1 - s) softplus(-l) + s softplus(l) = softplus(-l) + s l: the penalty is l of reals, its weight s.
    D* is then (1 - s) p / (p + q) instead of p / (p + q), and -log 4 isn't the value of the game at p = q.
    """

    def __init__(self, smoothing: Fraction = 0.1):
        if not 0 <= smoothing < 1:
            raise UserError(f"label_smoothing: smoothing={smoothing}: set it to at least 0 and less than 1")
        super().__init__(weight=smoothing)

    def check(self, objective: Any) -> None:
        if not objective.loss.logits_are_log_odds:
            raise UserError(
                f"label_smoothing requires logits that are log-odds, unlike those of {type(objective.loss).__name__}: "
                "set loss=non_saturating or loss=minimax, or remove it"
            )

    def penalty(self, step: Step) -> Tensor:
        assert step.real.out is not None
        return step.real.out.logits


class Drift(Regularizer):
    """weight * D(x)^2 on reals, against a drift of the logits (Karras et al. 2018, ProGAN)."""

    reads = ("real",)

    def __init__(self, weight: NonNegative = 0.001, every: PositiveInt = 1, own_step: bool = False):
        super().__init__(weight, every, own_step)

    def penalty(self, step: Step) -> Tensor:
        assert step.real.out is not None
        return step.real.out.logits.square()


class LeCam(Regularizer):
    """`weight * ((D(x) - alpha_F)^2 + (D(G(z)) - alpha_R)^2)` (Tseng et al. 2021, equation 4).

    alpha_R and alpha_F, initially 0, are the moving averages of D's logits on reals and on fakes up to the last update.

    clip: `max(0, D(x) - alpha_F)^2 + max(0, alpha_R - D(G(z)))^2`, as in the authors' code.
    start: the first updates of D without a penalty; until then the averages are the last update's means (the authors'
        code: 1000).
    debias: divide the averages by the weight of all updates in them, 1 - decay^t after t, as in the authors' TensorFlow
        code.
    """

    alpha_real: Tensor
    alpha_fake: Tensor
    updates: Tensor  # updates of D, up to `start`
    seen: Tensor  # the weight of all updates in the averages
    sums: Tensor  # the sums of mean logits on reals and on fakes since the last step
    count: Tensor

    def __init__(
        self,
        weight: NonNegative = 0.3,
        decay: Fraction = 0.99,
        clip: bool = False,
        start: NonNegativeInt = 0,
        debias: bool = False,
    ):
        super().__init__(weight)
        if not 0 <= decay < 1:
            raise UserError(f"lecam: decay={decay}: set it to at least 0 and less than 1")
        if start < 0:
            raise UserError(f"lecam: start={start}: set it to at least 0 updates")
        self.decay, self.clip, self.start, self.debias = decay, clip, start, debias
        self.register_buffer("alpha_real", torch.zeros(()))
        self.register_buffer("alpha_fake", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64) if start else None)
        self.register_buffer("seen", torch.zeros(()) if debias else None)
        self.register_buffer("sums", torch.zeros(2), persistent=False)  # 0 between updates
        self.register_buffer("count", torch.zeros(()), persistent=False)

    def penalty(self, step: Step) -> Tensor:
        real, fake = both_logits(step)
        alpha_real, alpha_fake = self.alpha_real, self.alpha_fake
        if self.debias:
            alpha_real, alpha_fake = (alpha / self.seen.where(self.seen > 0, 1.0) for alpha in (alpha_real, alpha_fake))
        above, below = real - alpha_fake, alpha_real - fake
        if self.clip:
            above, below = above.relu(), below.relu()
        penalties = above.square() + below.square()
        return penalties * (self.updates >= self.start) if self.start else penalties

    def update(self, step: Step) -> None:
        self.sums += torch.stack([logits.detach().mean() for logits in both_logits(step)])
        self.count += 1

    def after_step(self, player: Player, network: nn.Module) -> None:
        if player == "discriminator":
            real, fake = all_reduce_mean(self.sums / self.count)
            new: Any = 1 - self.decay  # weight of this update
            if self.start:
                new = torch.where(self.updates < self.start, 1.0, new).to(self.alpha_real)
                self.updates += self.updates < self.start
            self.alpha_real.lerp_(real, new)
            self.alpha_fake.lerp_(fake, new)
            if self.debias:
                self.seen.lerp_(torch.ones_like(self.seen), new)
            self.sums.zero_()
            self.count.zero_()


def both_logits(step: Step) -> tuple[Tensor, Tensor]:
    assert step.real.out is not None
    assert step.fake.out is not None
    return step.real.out.logits, step.fake.out.logits
