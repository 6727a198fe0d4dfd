"""The view of one update that regularizers, augmentations and reductions get."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gan_research.losses import AdversarialLoss
from gan_research.losses.base import Player
from gan_research.networks.base import DOutput
from gan_research.utils.rng import Noise

SideName = Literal["real", "fake", "mixed", "view"]
"""The source of images: the data, the generator, between both, or anything else."""

OwnSide = Literal["real", "fake"]


class Side(NamedTuple):
    """The real or the fake samples of an update.

    images: (N, C, H, W), or points (N, dim), before augmentation. condition: that of D's input: labels (N,) int64,
    another condition of a task, or None. out: D's output for them; None if it wasn't computed.
    """

    images: Tensor
    condition: Any
    out: DOutput | None


class Progress(NamedTuple):
    """The progress of training: float64 scalars on the device, updated in place for CUDA graphs.

    round: rounds completed. images_seen: real images that the discriminator has seen. share: of all rounds, 0 to 1.
    """

    round: Tensor
    images_seen: Tensor
    share: Tensor

    @classmethod
    def zeros(cls, device: torch.device | str = "cpu") -> "Progress":
        """Return the progress before training."""
        return cls(*torch.zeros(3, dtype=torch.float64, device=device).unbind())

    def set(self, round: int, images_seen: int, rounds: int) -> None:
        """Write the current values in place."""
        for scalar, value in zip(self, (round, images_seen, round / rounds), strict=True):
            scalar.fill_(value)


@dataclass(frozen=True)
class Step:
    """A micro-batch of one player's update.

    real, fake: both sides. In the generator's update `real.out` is None unless the loss or a regularizer that is due
    needs D(real).
    latents: (N, latent_dim), or (N, num_ws, latent_dim) if styles are mixed, those of the fakes.
    layer_noise: (N, noise_dim), that of the generator's layers, if they add any.
    G: (latents, condition) -> images; without a condition, that of the fakes.
    D: (images, condition, side, repeat) -> `DOutput`, augmented as in the loss; without a condition, that of the fakes
    for side "fake", else that of the reals. With `repeat`, augmentations repeat their random numbers of the loss's pass
    on that side.
    networks: both networks, for their parameters.
    noise: random numbers, a function of (seed, update, purpose).
    log: (name, tensor) -> None; logs the mean over the logging interval.
    """

    player: Player
    real: Side
    fake: Side
    latents: Tensor
    G: Callable[..., Tensor]
    D: Callable[..., DOutput]
    networks: Mapping[Player, nn.Module]
    loss: AdversarialLoss
    noise: Noise
    progress: Progress
    log: Callable[[str, Tensor], None]
    layer_noise: Tensor | None = None

    @property
    def own_side(self) -> Side:
        """The side of classification terms: the reals in D's update, the fakes in G's."""
        return self.real if self.player == "discriminator" else self.fake

    def side(self, name: OwnSide) -> Side:
        """Return the real or the fake side."""
        return self.real if name == "real" else self.fake

    @property
    def packing(self) -> int:
        """The number of consecutive samples that share a logit."""
        assert self.fake.out is not None
        return len(self.fake.images) // len(self.fake.out.logits)

    def input_gradient(self, side: OwnSide) -> Tensor:
        """Return the gradient of D's logits at the real or fake images: a row for each logit, differentiable.

        Reuses the loss's forward pass if its images require a gradient (`Regularizer.needs_input_grad`).
        """
        images, _, out = self.side(side)
        if images.is_leaf and images.requires_grad and out is not None:
            return gradient(out.logits, images)
        return self.gradient_at(images, side)

    def gradient_at(self, points: Tensor, side: SideName = "mixed") -> Tensor:
        """Return the gradient of D's logits at points by another forward pass: a row for each, differentiable."""
        points = points.detach().requires_grad_()
        return gradient(self.D(points, side=side).logits, points)

    def mixing_weights(self, purpose: str) -> Tensor:
        """Return weights (N, 1, ...), uniform on [0, 1): one for each sample, or for each pack."""
        weights = self.noise.uniform(purpose, *(1 for _ in self.real.images.shape[1:]))
        return weights if self.packing == 1 else weights[:: self.packing].repeat_interleave(self.packing, 0)


def mean_logits(logits: Tensor) -> Tensor:
    """Return the mean logit, or loss, of each sample: (N, ...) -> (N,)."""
    return logits if logits.dim() == 1 else logits.flatten(1).mean(1)


def gradient(logits: Tensor, images: Tensor) -> Tensor:
    """Return each logit's gradient, with a graph: (N, C, H, W), or for packs of m (N/m, m * C, H, W).

    Of logits (N, K) it is the gradient of each sample's mean.
    """
    slope = torch.autograd.grad(mean_logits(logits).sum(), images, create_graph=True)[0]
    return slope if len(logits) == len(images) else slope.reshape(len(logits), -1, *images.shape[2:])
