"""Penalties on the discriminator's logits, and on those of a classifier in it."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

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


class LeCam(Regularizer):
    """`weight * ((D(x) - alpha_F)^2 + (D(G(z)) - alpha_R)^2)` (Tseng et al. 2021, equation 4).

    alpha_R and alpha_F, initially 0, are the moving averages of D's logits on reals and on fakes up to the last update.
    (The authors' code also clips both differences at 0.)
    """

    alpha_real: Tensor
    alpha_fake: Tensor
    sums: Tensor  # the sums of mean logits on reals and on fakes since the last step
    count: Tensor

    def __init__(self, weight: NonNegative = 0.3, decay: Fraction = 0.99):
        super().__init__(weight)
        if not 0 <= decay < 1:
            raise UserError(f"lecam: decay={decay}: set it to at least 0 and less than 1")
        self.decay = decay
        self.register_buffer("alpha_real", torch.zeros(()))
        self.register_buffer("alpha_fake", torch.zeros(()))
        self.register_buffer("sums", torch.zeros(2), persistent=False)  # 0 between updates
        self.register_buffer("count", torch.zeros(()), persistent=False)

    def penalty(self, step: Step) -> Tensor:
        real, fake = both_logits(step)
        return (real - self.alpha_fake).square() + (fake - self.alpha_real).square()

    def update(self, step: Step) -> None:
        self.sums += torch.stack([logits.detach().mean() for logits in both_logits(step)])
        self.count += 1

    def after_step(self, player: Player, network: nn.Module) -> None:
        if player == "discriminator":
            real, fake = all_reduce_mean(self.sums / self.count)
            self.alpha_real.lerp_(real, 1 - self.decay)
            self.alpha_fake.lerp_(fake, 1 - self.decay)
            self.sums.zero_()
            self.count.zero_()


def both_logits(step: Step) -> tuple[Tensor, Tensor]:
    assert step.real.out is not None
    assert step.fake.out is not None
    return step.real.out.logits, step.fake.out.logits


class AuxiliaryClassifier(Regularizer):
    """weight * cross-entropy of the classifier's logits and the labels (ACGAN, Odena et al. 2017, section 3).

    D is trained on reals and, as in the paper, on fakes; G is trained to make fakes that are classified as their
    labels. Requires a head that provides "class_logits" (N, num_classes), such as `ClassifierHead`.

    fakes: train D to classify fakes too; public code mostly uses reals only.
    """

    players = ("discriminator", "generator")
    needs_extras = ("class_logits",)

    def __init__(self, weight: NonNegative = 1.0, every: PositiveInt = 1, fakes: bool = True):
        super().__init__(weight, every)
        self.fakes = fakes

    def penalty(self, step: Step) -> Tensor:
        sides = (step.real, step.fake) if step.player == "discriminator" and self.fakes else (step.own_side,)
        losses = [
            cross_entropy(side.out.extras["class_logits"], side.condition, reduction="none")  # type: ignore[union-attr]
            for side in sides
        ]
        return sum(losses[1:], losses[0])
