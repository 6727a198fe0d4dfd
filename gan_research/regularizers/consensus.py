"""Consensus optimization: both players also minimize the norm of their gradients."""

import torch
from pydantic import PositiveInt
from torch import Tensor

from gan_research.distributed import all_reduce_mean
from gan_research.losses.base import Player
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Step
from gan_research.utils.ramps import NonNegative


class Consensus(Regularizer):
    """weight / 2 * ||v||^2, added to both players' losses (Mescheder et al. 2017, section 4).

    v = (gradient of L_D in D's parameters, gradient of L_G in G's parameters) is the field that simultaneous descent
    follows; L_D and L_G are the adversarial losses of the minibatch, over all ranks, without regularizers. The penalty
    has its own forward passes, with a graph through both players, in float32. The authors' experiments use weight 10.
    """

    players = ("discriminator", "generator")
    couples_batch = True
    crosses_players = reads_weights = True

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1, own_step: bool = False):
        super().__init__(weight, every, own_step)

    def penalty(self, step: Step) -> Tensor:
        real = step.D(step.real.images.detach(), side="real").logits
        fake = step.D(step.G(step.latents), side="fake").logits
        losses: dict[Player, Tensor] = {
            "discriminator": step.loss.discriminator(real, fake),
            "generator": step.loss.generator(fake, real),
        }
        squares = []
        for player, loss in losses.items():
            parameters = [p for p in step.networks[player].parameters() if p.requires_grad]
            v = torch.autograd.grad(loss.mean(), parameters, create_graph=True, materialize_grads=True)
            squares += [all_reduce_mean(part).square().sum() for part in v]
        return 0.5 * torch.stack(squares).sum()
