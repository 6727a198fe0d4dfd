"""Cutout."""

import torch
from torch import Tensor

from gan_research.augmentations.base import AugmentationInput, ImageAugmentation, require_probability
from gan_research.regularizers.step import SideName
from gan_research.utils.pixels import cut_out
from gan_research.utils.ramps import Ramp, value_at
from gan_research.utils.ranges import Probability


class Cutout(ImageAugmentation):
    """A square of 0 in each image, with a uniform center (DeVries & Taylor 2017), as in DiffAugment.

    side: of the square, as a fraction of the size. p: the share of images that get one. It may be a `Ramp`.
    synced: a real and its paired fake get the same square.
    """

    def __init__(self, side: Probability = 0.5, p: Probability | Ramp = 1.0, synced: bool = False):
        super().__init__()
        require_probability(self, side=side, p=p)
        self.side, self.p, self.synced = side, p, synced

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor:
        drawn = context.noise.uniform(context.purpose("cutout", side, self.synced), 3)
        p = value_at(self.p, context.progress.images_seen)
        return torch.where(drawn[:, :1, None, None] < p, cut_out(images, drawn[:, 1:], self.side), images)
