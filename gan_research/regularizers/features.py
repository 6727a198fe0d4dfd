"""Penalties on the discriminator's features."""

from typing import Literal

from pydantic import PositiveInt
from torch import Tensor

from gan_research.distributed import all_reduce_mean
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Side, Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative


class FeatureMatching(Regularizer):
    """weight * the distance of D's mean features of fakes and of reals, for G.

    The means of h(x), the head's input, are over the minibatch, on all ranks. norm: "l1" is the mean over features of
    the absolute difference (MHGAN, Kavalerov et al. 2021); "l2" of its square (Salimans et al. 2016, section 3.1, whose
    squared norm is the sum).
    """

    players = ("generator",)
    needs_real_output = True
    full_precision = False
    couples_batch = True

    def __init__(
        self,
        weight: NonNegative = 1.0,
        every: PositiveInt = 1,
        own_step: bool = False,
        norm: Literal["l1", "l2"] = "l1",
    ):
        super().__init__(weight, every, own_step)
        if norm not in ("l1", "l2"):
            raise UserError(f"feature_matching: norm={norm}: set it to l1 or l2")
        self.norm = norm

    def penalty(self, step: Step) -> Tensor:
        distance = mean_features(step.fake) - mean_features(step.real).detach()
        return (distance.abs() if self.norm == "l1" else distance.square()).mean()


def mean_features(side: Side) -> Tensor:
    """Return the mean features (F,) over all ranks, in the dtype of the logits."""
    assert side.out is not None
    return all_reduce_mean(side.out.features.to(side.out.logits.dtype).mean(0))
