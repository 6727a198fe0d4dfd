"""What a regulariser may do, and the moment that it is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from gan_research.losses import AdversarialLoss, Player
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Draws


@dataclass(frozen=True)
class Play:
    """One moment of the game, as a regulariser sees it; images (N, C, H, W), logits (N,), or (N/m,) of packs of m.

    `generator` maps latents to images and `discriminator` images to logits, labels bound and autocast inside; `exact_*`
    are the same in float32. In a generator's move `real_logits` may be None. `networks` are for their parameters.
    """

    generator: Callable[[Tensor], Tensor]
    exact_generator: Callable[[Tensor], Tensor]
    discriminator: Callable[[Tensor], Tensor]
    exact_discriminator: Callable[[Tensor], Tensor]
    networks: Mapping[Player, nn.Module]
    real: Tensor
    fake: Tensor
    latents: Tensor
    real_logits: Tensor | None
    fake_logits: Tensor
    loss: AdversarialLoss
    draws: Draws

    @property
    def packing(self) -> int:
        """How many samples in a row share a logit."""
        return len(self.fake) // len(self.fake_logits)

    def input_gradient(self, side: Literal["real", "fake"]) -> Tensor:
        """d logits / d images at the real or the fake images: a row a logit (`gradient`), float32, differentiable.

        Reuses the forward pass of the loss where that was made of images that ask for a gradient.
        """
        images, logits = (self.real, self.real_logits) if side == "real" else (self.fake, self.fake_logits)
        if images.is_leaf and images.requires_grad and logits is not None:
            return gradient(logits, images)
        return self.gradient_at(images)

    def gradient_at(self, points: Tensor) -> Tensor:
        """d logits / d points at any points: a row a logit, float32, differentiable; one forward pass of its own."""
        points = points.detach().requires_grad_()
        return gradient(self.exact_discriminator(points), points)

    def share(self, purpose: str) -> Tensor:
        """Shares (N, 1, ...) to mix images with, uniform on [0, 1): one for all pixels of a sample, and of a pack."""
        shares = self.draws.uniform(purpose, *(1 for _ in self.real.shape[1:]))
        return shares if self.packing == 1 else shares[:: self.packing].repeat_interleave(self.packing, 0)


def gradient(logits: Tensor, images: Tensor) -> Tensor:
    """The gradient of each logit in its own image, or pack of m, with a graph: (N, C, H, W), or (N/m, m * C, H, W)."""
    slope = torch.autograd.grad(logits.sum(), images, create_graph=True)[0]
    return slope if len(logits) == len(images) else slope.reshape(len(logits), -1, *images.shape[2:])


class Regularizer(nn.Module):
    """Something added to a loss; the state of a subclass lives in buffers.

    A subclass implements any of:
      inputs(images, draws, call) -> images    before each call of the discriminator; `call` numbers those of a
                                               micro-batch, so that each can have noise of its own
      discriminator_penalty(play) -> (N,)      added to the discriminator's loss, times `weight`; (N/m,) and () will do
      generator_penalty(play) -> (N,)          added to the generator's loss, times `weight`
      after_step(player, network)              after a step of that player
      check(loss)                              raises a UserError where it makes no sense with that loss

    weight: what the penalty's mean is multiplied with.
    every: the interval in updates of the penalised player (lazy regularisation, Karras et al. 2020, section 3.1); the
        weight is then scaled by `every`.
    """

    differentiates: tuple[Literal["real", "fake", "parameters"], ...] = ()
    """What a penalty differentiates in.

    "real", "fake": a discriminator penalty takes the `input_gradient` of these images. They then ask for a gradient
    from the start, unless the loss is computed in less than float32.
    "parameters": a penalty takes gradients in both players' parameters. D then isn't frozen in G's move.
    """

    remembers: bool = False
    """Whether a penalty leaves something on the host for later, which replaying it as a CUDA graph wouldn't do."""

    def __init__(self, weight: float = 1.0, every: int = 1):
        super().__init__()
        if every < 1:
            raise UserError(f"{type(self).__name__}: every={every}: give an interval of at least 1 update")
        self.weight = weight
        self.every = every

    def due(self, update: int) -> bool:
        """Whether the penalty is applied in this update (counted from 0) of the player."""
        return update % self.every == 0

    def check(self, loss: AdversarialLoss) -> None:
        """Any loss is fine, unless a subclass says otherwise."""
