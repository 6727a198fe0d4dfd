"""Adaptive pseudo augmentation."""

from typing import Literal, get_args

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.augmentations.adaptive import AdaptiveAugmentation
from gan_research.augmentations.base import AugmentationInput, Augmented
from gan_research.regularizers.step import SideName
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.ramps import Ramp
from gan_research.utils.ranges import Probability

Labels = Literal["fake", "real"]


class APA(AdaptiveAugmentation):
    """Adaptive pseudo augmentation (Jiang et al. 2021): each real is replaced by a fake with probability p.

    The fakes come from the same update, without a gradient for G. With p' = (1 - p) p_data + p p_g, D* is
    p' / (p' + p_g). Penalties at the reals are taken at the batch that D gets, pseudo-fakes included.

    p, target, kimg, every: see `AdaptiveAugmentation`.
    labels: replaced reals get the label of their fake, or, as in the authors' code, keep the real's.
    """

    log_name = "augment/apa_p"

    def __init__(
        self,
        p: Probability | Ramp = 0.0,
        target: float | None = 0.6,
        kimg: PositiveFloat = 500,
        every: PositiveInt = 4,
        labels: Labels = "fake",
    ):
        super().__init__(p, target, kimg, every)
        if labels not in get_args(Labels):
            raise UserError(f"APA: labels={labels}: {did_you_mean(labels, get_args(Labels))}")
        self.labels = labels

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor | Augmented:
        if side != "real":
            return images
        is_replaced = context.noise.uniform(context.purpose("apa", side)) < self.chance(context)
        pseudo = context.fakes + (images - images.detach())  # the fakes, with gradient 1 in the images, for penalties
        mixed = torch.where(is_replaced.view(-1, *(1 for _ in images.shape[1:])), pseudo, images)
        if self.labels == "real" or context.condition is None:
            return mixed
        return Augmented(mixed, torch.where(is_replaced, context.fake_condition, context.condition))
