"""Gaussian noise on the images that the discriminator sees."""

import torch
from torch import Tensor

from gan_research.augmentations.base import Augmentation, AugmentationInput
from gan_research.losses.base import Player
from gan_research.regularizers.step import SideName
from gan_research.utils.errors import UserError


class InstanceNoise(Augmentation):
    """Adds std * N(0, 1) to every real and fake image, drawn anew for each forward pass of D.

    Both densities are smoothed alike, so that they overlap and p/q exists (Sonderby et al. 2017, "Amortised MAP
    inference for image super-resolution"; Arjovsky & Bottou 2017, section 3).

    anneal: D updates over which the standard deviation falls linearly to 0; None keeps it.
    """

    updates: Tensor

    def __init__(self, std: float = 0.1, anneal: int | None = None):
        super().__init__()
        if std < 0:
            raise UserError(f"instance_noise: std={std}: give at least 0")
        if anneal is not None and anneal < 1:
            raise UserError(f"instance_noise: anneal={anneal}: give at least 1 update of D, or null")
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
