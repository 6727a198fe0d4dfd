"""Drawing samples from a generator: in training, in evaluation and from a checkpoint alike."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gan_research.errors import UserError
from gan_research.pixels import to_uint8
from gan_research.priors import Prior
from gan_research.streams import stream

BLOCK = 256
"""Latents are drawn in blocks of this many samples, so that sample i is a function of (seed, i)."""


class Sampler:
    """A generator with its prior: `sample(64, seed=0)` gives pictures, or points.

    They are drawn in evaluation mode without gradients; neither the generator nor any global random state is
    changed. Sample i is a function of (seed, i), whatever else is drawn.
    """

    def __init__(self, generator: nn.Module, prior: Prior, num_classes: int, value_range: tuple[float, float]):
        self.generator = generator
        self.prior = prior
        self.num_classes = num_classes
        self.value_range = value_range

    @property
    def makes_points(self) -> bool:
        """Whether samples are points, numbers without bounds, instead of pictures."""
        return not all(map(math.isfinite, self.value_range))

    @torch.no_grad()
    def sample(
        self, n: int, seed: int = 0, labels: Tensor | int | None = None, start: int = 0, batch_size: int = 500
    ) -> Tensor:
        """Samples start .. start + n - 1 of `seed`, on the generator's device.

        Float32 pictures (n, C, H, W) in `value_range`, or points (n, dim).

        labels: (n,) int64 classes, or one class for all; without them a class-conditional generator takes the classes
        in turn, sample i the class i mod num_classes.
        """
        if n < 1:
            raise UserError(f"{n} samples: ask for at least 1")
        device = next(self.generator.parameters()).device
        labels = self.labels(n, labels, start)
        if labels is not None:
            labels = labels.to(device)
        latents = self.latents(n, seed, start).to(device)
        with evaluating(self.generator):
            parts = [
                self.generator(latents[i : i + batch_size], None if labels is None else labels[i : i + batch_size])
                for i in range(0, n, batch_size)
            ]
        return torch.cat(parts)

    def sample_uint8(self, n: int, seed: int = 0, labels: Tensor | int | None = None, start: int = 0) -> Tensor:
        """As `sample`, as bytes 0..255: rounded and clamped. UserError where it makes points."""
        if self.makes_points:
            raise UserError("this generator makes points, which can't be bytes: take them as they are, from sample()")
        return to_uint8(self.sample(n, seed, labels, start), self.value_range)

    def drawing(self, seed: int) -> Callable[[int, int], Tensor]:
        """(start, stop) -> those samples of `seed`, as bytes where they are pictures: what an evaluation asks for."""
        draw = self.sample if self.makes_points else self.sample_uint8
        return lambda start, stop: draw(stop - start, seed, start=start)

    def latents(self, n: int, seed: int, start: int = 0) -> Tensor:
        """Latents start .. start + n - 1 of `seed`: (n, latent_dim), on the CPU, so that every device has the same."""
        first, last = start // BLOCK, (start + n - 1) // BLOCK
        blocks = [self.prior.sample(BLOCK, stream(seed, "sample", block)) for block in range(first, last + 1)]
        offset = start - first * BLOCK
        return torch.cat(blocks)[offset : offset + n]

    def labels(self, n: int, labels: Tensor | int | None = None, start: int = 0) -> Tensor | None:
        """The classes (n,) of samples start .. start + n - 1; None where the generator is not class-conditional."""
        if not self.num_classes:
            if labels is not None:
                raise UserError("this generator is not class-conditional: sample without classes")
            return None
        if labels is None:
            return torch.arange(start, start + n) % self.num_classes
        labels = torch.as_tensor(labels, dtype=torch.int64).expand(n)
        if bool(((labels < 0) | (labels >= self.num_classes)).any()):
            raise UserError(f"classes run from 0 to {self.num_classes - 1}")
        return labels


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode; afterwards each of its parts is in the mode that it was in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
