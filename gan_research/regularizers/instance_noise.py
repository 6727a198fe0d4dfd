"""Noise on whatever the discriminator is shown."""

import torch
from torch import Tensor, nn

from gan_research.losses import Player
from gan_research.regularizers.base import Regularizer
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Draws


class InstanceNoise(Regularizer):
    """Gaussian noise on every image that D sees, real or fake, fresh for each call: images + std * noise.

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

    def inputs(self, images: Tensor, draws: Draws, call: int) -> Tensor:
        noise = draws.normal(f"instance_noise {call}", *images.shape[1:])
        if self.anneal is None:
            return images + self.std * noise
        return images + self.std * (1 - self.updates / self.anneal).clamp(min=0) * noise

    def after_step(self, player: Player, network: nn.Module) -> None:
        if player == "discriminator":
            self.updates += 1
