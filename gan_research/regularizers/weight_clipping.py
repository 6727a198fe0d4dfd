"""The Lipschitz constraint of Arjovsky et al. 2017, Algorithm 1."""

import torch
from torch import nn

from gan_research.losses.base import Player
from gan_research.regularizers.base import Regularizer
from gan_research.utils.errors import UserError


class WeightClipping(Regularizer):
    """After each discriminator step every parameter of it is clamped to [-limit, limit]."""

    players = ()

    def __init__(self, limit: float = 0.01):
        super().__init__()
        if limit <= 0:
            raise UserError(f"weight_clipping: limit={limit}: give a positive one")
        self.limit = limit

    def after_step(self, player: Player, network: nn.Module) -> None:
        if player == "discriminator":
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.clamp_(-self.limit, self.limit)
