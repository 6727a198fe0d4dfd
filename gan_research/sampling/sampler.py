"""SampleSource samples from a generator: in training, in evaluation and from a checkpoint alike."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gan_research.sampling.priors import Prior
from gan_research.utils.errors import UserError
from gan_research.utils.images import to_levels, to_uint8
from gan_research.utils.rng import generator_for

BLOCK = 256
"""Latents are drawn in blocks of this many samples, so that sample i is a function of (seed, i)."""


class Sampler:
    """A generator with its prior: `sample(64, seed=0)` gives pictures, or points.

    `description` names the way it draws, as part of the protocol of an evaluation: latents from the prior.
    They are drawn in evaluation mode without gradients; neither the generator nor any global random state is
    changed. Sample i is a function of (seed, i), whatever else is drawn.
    """

    description = "prior"

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
        return self.generate(self.latents(n, seed, start), self.labels(n, labels, start), batch_size)

    @torch.no_grad()
    def generate(self, latents: Tensor, labels: Tensor | None, batch_size: int = 500) -> Tensor:
        """As `sample`, of latents (n, latent_dim) and classes (n,) of one's own."""
        weights = next(self.generator.parameters())
        device = weights.device
        latents = latents.to(device, weights.dtype)
        labels = None if labels is None else labels.to(device)
        with evaluating(self.generator):
            parts = [
                self.generator(latents[i : i + batch_size], None if labels is None else labels[i : i + batch_size])
                for i in range(0, len(latents), batch_size)
            ]
        return torch.cat(parts)

    def sample_uint8(self, n: int, seed: int = 0, labels: Tensor | int | None = None, start: int = 0) -> Tensor:
        """As `sample`, as bytes 0..255: rounded and clamped. UserError where it makes points."""
        if self.makes_points:
            raise UserError("this generator makes points, which can't be bytes: take them as they are, from sample()")
        return to_uint8(self.sample(n, seed, labels, start), self.value_range)

    def source(self, seed: int) -> "SampleSource":
        """The samples of `seed`, by their numbers: what an evaluation asks for."""
        return SampleSource(self, seed)

    def latents(self, n: int, seed: int, start: int = 0, purpose: str = "sample") -> Tensor:
        """Latents start .. start + n - 1 of `seed`: (n, latent_dim), on the CPU, so that every device has the same.

        Those of each `purpose` are independent.
        """
        first, last = start // BLOCK, (start + n - 1) // BLOCK
        blocks = [self.prior.sample(BLOCK, generator_for(seed, purpose, block)) for block in range(first, last + 1)]
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


class SampleSource:
    """The samples of one seed, as an evaluation wants them: `source(0, 64)` are the first 64."""

    def __init__(self, sampler: Sampler, seed: int) -> None:
        self.sampler, self.seed = sampler, seed

    def __call__(self, start: int, stop: int) -> Tensor:
        """Samples start .. stop - 1: bytes where they are pictures, points as they are.

        Raises a UserError where they aren't finite: as bytes they would look like pictures.
        """
        samples = self.sampler.sample(stop - start, self.seed, start=start)
        if not samples.isfinite().all():
            raise UserError(f"the generator makes numbers that aren't finite (samples {start} to {stop - 1})")
        return samples if self.sampler.makes_points else to_uint8(samples, self.sampler.value_range)

    def labels(self, start: int, stop: int) -> Tensor | None:
        """The classes (stop - start,) int64 of those samples; None where the generator is not class-conditional."""
        return self.sampler.labels(stop - start, start=start)

    def paths(self, start: int, stop: int, epsilon: float) -> Tensor:
        """Those samples, each with the one that a step of its latents away: float32 (stop - start, 2, C, H, W).

        The step goes the share `epsilon` of the way, as the prior interpolates, to another latent of the same class.
        Levels 0 to 255, neither rounded nor clamped. Raises a UserError where the generator makes points.
        """
        sampler, n = self.sampler, stop - start
        if sampler.makes_points:
            raise UserError("this generator makes points, which have no perceptual path length: leave 'ppl' out")
        here, there = (sampler.latents(n, self.seed, start, purpose) for purpose in ("sample", "path ends"))
        pairs = torch.stack([here, sampler.prior.interpolate(here, there, epsilon)], 1)
        labels = self.labels(start, stop)
        pictures = sampler.generate(pairs.flatten(0, 1), None if labels is None else labels.repeat_interleave(2))
        return to_levels(pictures, sampler.value_range).unflatten(0, (n, 2))


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
