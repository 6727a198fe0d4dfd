"""The mutual information of samples and their codes, of InfoGAN."""

import math
from typing import Any

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from gan_research.losses.base import Player
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Step
from gan_research.utils.codes import Codes
from gan_research.utils.errors import UserError, require
from gan_research.utils.ramps import NonNegative

LEAST_VARIANCE = 1e-6  # of a continuous code, which bounds its loss from below


class MutualInformation(Regularizer):
    """weight * -log Q(codes | fake) (InfoGAN, Chen et al. 2016, section 5).

    The cross-entropy of categorical codes, plus continuous_weight * the Gaussian negative log-likelihood of continuous
    ones, in nats. G and Q are trained, Q by G's optimizer. Logs "information", H(codes) + log Q, a lower bound of
    the mutual information of codes and fakes.
    Requires codes in the prior (`CodedPrior`), and a head with Q (`InfoGANHead`).

    continuous_weight: less than 1 keeps continuous codes, whose information has no bound, from replacing the others.
    trunk: train D's features for Q, too, in D's updates, as the authors' code does.
    """

    needs_extras = ("q_logits", "q_mean", "q_log_var")

    def __init__(
        self,
        weight: NonNegative = 1.0,
        every: PositiveInt = 1,
        own_step: bool = False,
        continuous_weight: NonNegativeFloat = 0.1,
        trunk: bool = False,
    ):
        super().__init__(weight, every, own_step)
        require(0, **{f"{type(self).__name__}: continuous_weight": continuous_weight})
        self.continuous_weight = continuous_weight
        self.players: tuple[Player, ...] = ("generator", "discriminator") if trunk else ("generator",)

    def check(self, objective: Any) -> None:
        name, discriminator = type(self).__name__, objective.networks["discriminator"]
        codes, inferred = (getattr(part, "codes", None) for part in (objective.prior, discriminator.head))
        if codes is None:
            raise UserError(f"{name} needs codes in the latents: set prior=coded, or choose another one and head=")
        if codes != inferred:
            raise UserError(f"the prior has {codes}, and the head infers {inferred}: set the same numbers for both")
        if objective.refinement is not None:
            raise UserError(f"{name} needs the codes that were drawn, which a refinement changes: set refinement=none")
        if discriminator.packing > 1:
            raise UserError(f"{name} needs the codes of single samples: set discriminator.packing=1")

    def penalty(self, step: Step) -> Tensor:
        assert step.fake.out is not None
        logits, mean, log_var = (step.fake.out.extras[name] for name in self.needs_extras)
        codes = Codes(logits.shape[1], logits.shape[2], mean.shape[1])
        _, categorical, continuous = codes.split(step.latents)
        on_categorical = categorical_loss(logits, categorical)
        on_continuous = gaussian_loss(mean, log_var, continuous)
        entropy = codes.categorical * math.log(codes.categories) + codes.continuous * math.log(2)
        step.log("information", entropy - (on_categorical + on_continuous).detach())
        return on_categorical + self.continuous_weight * on_continuous


def categorical_loss(logits: Tensor, codes: Tensor) -> Tensor:
    """Return the cross-entropy (N,), summed over one-hot codes (N, categorical, categories)."""
    return -(codes * logits.log_softmax(-1)).sum((1, 2))


def gaussian_loss(mean: Tensor, log_var: Tensor, codes: Tensor) -> Tensor:
    """Return the negative log-likelihood (N,) under a Gaussian, summed over codes (N, continuous)."""
    variance = log_var.exp() + LEAST_VARIANCE
    return 0.5 * ((2 * math.pi * variance).log() + (codes - mean).square() / variance).sum(1)
