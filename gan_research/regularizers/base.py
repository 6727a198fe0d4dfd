"""What a regulariser may do, and the moment that it is shown."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gan_research.errors import UserError
from gan_research.losses import AdversarialLoss
from gan_research.streams import Draws


@dataclass(frozen=True)
class Play:
    """One moment of the game, as a regulariser sees it; images (N, C, H, W), logits (N,).

    `generator` maps latents to images and `discriminator` images to logits, labels bound and autocast inside;
    `exact_discriminator` is the latter in float32. In a generator's move `real_logits` may be None.
    """

    generator: Callable[[Tensor], Tensor]
    discriminator: Callable[[Tensor], Tensor]
    exact_discriminator: Callable[[Tensor], Tensor]
    real: Tensor
    fake: Tensor
    latents: Tensor
    real_logits: Tensor | None
    fake_logits: Tensor
    loss: AdversarialLoss
    draws: Draws

    def input_gradient(self, side: Literal["real", "fake"]) -> Tensor:
        """d logits / d images at the real or the fake images: (N, C, H, W), float32, differentiable.

        Reuses the forward pass of the loss where that was made of images that ask for a gradient.
        """
        images, logits = (self.real, self.real_logits) if side == "real" else (self.fake, self.fake_logits)
        if images.is_leaf and images.requires_grad and logits is not None:
            return gradient(logits, images)
        return self.gradient_at(images)

    def gradient_at(self, points: Tensor) -> Tensor:
        """d logits / d points at any points: (N, C, H, W), float32, differentiable; one forward pass of its own."""
        points = points.detach().float().requires_grad_()
        return gradient(self.exact_discriminator(points), points)


def gradient(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each logit in its own image, with a graph."""
    return torch.autograd.grad(logits.sum(), images, create_graph=True)[0]


class Regularizer(nn.Module):
    """Something added to a loss; the state of a subclass lives in buffers.

    A subclass implements any of:
      inputs(images) -> images                 before each call of the discriminator
      discriminator_penalty(play) -> (N,)      added to the discriminator's loss, times `weight`
      generator_penalty(play) -> (N,)          added to the generator's loss, times `weight`
      after_step(player, network)              after a step of that player

    weight: what the penalty's mean is multiplied with.
    every: the interval in updates of the penalised player (lazy regularisation, Karras et al. 2020, section 3.1); the
        weight is then scaled by `every`.
    """

    differentiates: tuple[Literal["real", "fake"], ...] = ()
    """The images whose `input_gradient` a discriminator penalty takes.

    They then ask for a gradient from the start, unless the loss is computed in less than float32.
    """

    def __init__(self, weight: float = 1.0, every: int = 1):
        super().__init__()
        if every < 1:
            raise UserError(f"{type(self).__name__}: every={every}: give an interval of at least 1 update")
        self.weight = weight
        self.every = every

    def due(self, update: int) -> bool:
        """Whether the penalty is applied in this update (counted from 0) of the player."""
        return update % self.every == 0
