"""Gaussian noise on the discriminator's input images."""

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from gan_research.augmentations.base import Augmentation, AugmentationInput
from gan_research.losses.base import Player
from gan_research.regularizers.step import SideName
from gan_research.utils.errors import UserError


class InstanceNoise(Augmentation):
    """Gaussian noise std * N(0, 1) on all images, drawn for each forward pass of D.

    It smooths both densities equally, so that they overlap and p/q exists (Sonderby et al. 2017, "Amortised MAP
    inference for image super-resolution"; Arjovsky & Bottou 2017, section 3).

    anneal: number of D updates over which the standard deviation falls linearly to 0; None keeps it constant.
    """

    updates: Tensor

    def __init__(self, std: NonNegativeFloat = 0.1, anneal: PositiveInt | None = None):
        super().__init__()
        if std < 0:
            raise UserError(f"instance_noise: std={std}: set it to at least 0")
        if anneal is not None and anneal < 1:
            raise UserError(f"instance_noise: anneal={anneal}: set it to at least 1 update of D, or null")
        self.std = std
        self.anneal = anneal
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor:
        noise = context.noise.normal(f"instance_noise {context.call}", *images.shape[1:])
        if self.anneal is None:
            return images + self.std * noise
        return images + self.std * (1 - self.updates / self.anneal).clamp(min=0) * noise

    def after_step(self, player: Player) -> None:
        if player == "discriminator":
            self.updates += 1
