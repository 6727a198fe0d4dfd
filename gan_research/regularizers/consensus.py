"""Consensus optimization: both players also seek a point at which neither wants to move."""

import torch
from torch import Tensor

from gan_research.distributed import mean_of_all
from gan_research.losses import Player
from gan_research.regularizers.base import Play, Regularizer


class Consensus(Regularizer):
    """Both players descend weight / 2 * ||v||^2 besides their own losses (Mescheder et al. 2017, section 4).

    v = (gradient of L_D in D's parameters, gradient of L_G in G's parameters) is the field that simultaneous descent
    follows; L_D and L_G are the adversarial losses of this micro-batch, over all devices, no regulariser in them. The
    penalty has forward passes of its own, with a graph through both players, in float32. Weight 10 is that of the
    authors' experiments.
    """

    differentiates = ("parameters",)

    def __init__(self, weight: float = 10.0, every: int = 1):
        super().__init__(weight, every)

    def discriminator_penalty(self, play: Play) -> Tensor:
        real = play.exact_discriminator(play.real.detach())
        fake = play.exact_discriminator(play.exact_generator(play.latents))
        losses: dict[Player, Tensor] = {
            "discriminator": play.loss.discriminator(real, fake),
            "generator": play.loss.generator(fake, real),
        }
        squares = []
        for player, loss in losses.items():
            wanted = [p for p in play.networks[player].parameters() if p.requires_grad]
            v = torch.autograd.grad(loss.mean(), wanted, create_graph=True, materialize_grads=True)
            squares += [mean_of_all(part).square().sum() for part in v]
        return 0.5 * torch.stack(squares).sum()

    generator_penalty = discriminator_penalty
