"""Sampling from a generator, in training, in evaluation and from a checkpoint."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from gan_research.distributed import all_reduce_means
from gan_research.sampling.priors import Prior
from gan_research.sampling.selection.base import Selection
from gan_research.sampling.standing import require_statistics, standing_statistics
from gan_research.utils.errors import UserError, require, require_positive
from gan_research.utils.images import to_levels, to_uint8
from gan_research.utils.lightning_compat import uncompiled
from gan_research.utils.rng import generator_for

BLOCK = 256  # the number of latents drawn at once; sample i is a function of (seed, i)


class Sampler:
    """A generator with its prior: `sample(64, seed=0)` returns images, or points.

    Samples are drawn in evaluation mode without gradients; neither the generator nor the global random state changes.
    Sample i is a function of (seed, i) only. `description` names the sampling method in the protocol of an evaluation;
    `truncation` is the threshold of latents, see `truncated`; `standing_statistics` describes those of `standing`, such
    as "16 x 64". `batch_size`: of training, if known. `discriminator`: the generator's opponent, if it was loaded;
    `selection`: the method that selects samples by it, see `selecting`.
    """

    description = "prior"
    truncation: float | None = None
    batch_size: int | None = None
    standing_statistics: str | None = None
    discriminator: nn.Module | None = None
    selection: Selection | None = None

    def __init__(self, generator: nn.Module, prior: Prior, num_classes: int, value_range: tuple[float, float]):
        self.generator, self.prior = generator, prior
        self.num_classes, self.value_range = num_classes, value_range
        self.measured: dict[str, Any] = {}  # what a selection measured of these samples

    def __copy__(self) -> "Sampler":
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"measured": {}}  # the copy gets other samples
        return other

    @property
    def generates_points(self) -> bool:
        """True if samples are points, which have no bounds, instead of images."""
        return not all(map(math.isfinite, self.value_range))

    @property
    def protocol(self) -> dict[str, Any]:
        """The fields of an evaluation's protocol that describe how samples are drawn."""
        standing = {"standing_statistics": self.standing_statistics}
        sampling = self.selection.description if self.selection else self.description
        return {"sampling": sampling, "truncation": self.truncation} | standing

    def truncated(self, threshold: float | None) -> "Sampler":
        """Return this sampler with latents truncated to [-threshold, threshold]; None or infinity: without truncation.

        The generator gets the prior's truncation of all latents, see `Prior.truncate`: those of samples, of paths and
        of interpolations alike.
        """
        other = copy.copy(self)
        other.truncation = None if threshold == math.inf else threshold
        if other.truncation is not None:
            require_positive(truncation=other.truncation)
            try:
                self.prior.truncate(torch.zeros(1, self.prior.latent_dim), other.truncation)
            except NotImplementedError as error:
                prior = type(self.prior).__name__
                raise UserError(f"truncation={threshold:g}: {prior} has no cdf and quantile: implement them") from error
        return other

    @torch.no_grad()
    def sample(
        self, n: int, seed: int = 0, labels: Tensor | int | None = None, start: int = 0, batch_size: int = 500
    ) -> Tensor:
        """Generate samples start .. start + n - 1 of `seed`, on the generator's device.

        Returns float32 images (n, C, H, W), as the generator makes them, or points (n, dim).

        labels: (n,) int64 classes, or one class for all (None: if conditional, sample i has class i mod num_classes).
        """
        require(1, n=n)
        labels = self.labels(n, labels, start)
        if self.selection is None:
            return self.generate(self.latents(n, seed, start), labels, batch_size)
        return self.generate(self.selected(n, seed, start, labels, batch_size), labels, batch_size)

    @torch.no_grad()
    def generate(self, latents: Tensor, labels: Tensor | None, batch_size: int = 500) -> Tensor:
        """Generate samples from latents (n, latent_dim) and classes (n,), as `sample` does.

        labels: also weights of classes (n, num_classes), whose rows add up to 1, for samples between classes.
        """
        classes = repeat(None) if labels is None else labels.split(batch_size)
        return torch.cat([self.images(*batch) for batch in zip(latents.split(batch_size), classes, strict=False)])

    def images(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Generate one batch, as `generate` does, differentiable in the latents."""
        weights = next(self.generator.parameters())
        if self.truncation is not None:
            latents = self.prior.truncate(latents, self.truncation)
        labels = None if labels is None else labels.to(weights.device)
        with eval_mode(self.generator):
            images: Tensor = self.generator(latents.to(weights.device, weights.dtype), labels)
        return images

    def to(self, device: torch.device | str) -> "Sampler":
        """Move the networks to a device."""
        for network in filter(None, (self.generator, self.discriminator)):
            network.to(device)
        return self

    # Selection of samples by the discriminator

    def selecting(self, method: Selection | None, discriminator: nn.Module | None = None) -> "Sampler":
        """Return this sampler with samples that are selected by a discriminator; None: as the generator makes them.

        discriminator: that of the same checkpoint; by default the sampler's own. Raises a UserError if its logits
        aren't log-odds, or the method can't select latents of this prior.
        """
        other = copy.copy(self)
        other.discriminator, other.selection = self.discriminator if discriminator is None else discriminator, method
        if method is not None:
            method.check(other.prior, other.discriminator)
        return other

    def selected(self, n: int, seed: int, start: int, labels: Tensor | None, batch_size: int) -> Tensor:
        """Return the latents of samples start .. start + n - 1 that are selected: (n, latent_dim)."""
        assert self.selection is not None
        found = []
        for first in range(0, n, batch_size):
            size = min(batch_size, n - first)
            classes = None if labels is None else labels[first : first + size]
            found.append(self.selection.latents(self, size, seed, start + first, classes, batch_size))
        return torch.cat(found)

    def logits(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Return D's logits (N,) of the samples of one batch of latents, differentiable in these."""
        network: Any = self.discriminator
        images = self.images(latents, labels)
        classes = None if labels is None or not network.num_classes else labels.to(images.device)
        with eval_mode(network):
            logits: Tensor = network(images, classes).logits
        if logits.dim() != 1:
            raise UserError(f"the discriminator has {logits.shape[1]} logits for a sample, and one is needed")
        return logits

    def count_tries(self, tries: int, accepted: int) -> None:
        """Count candidates of a selection, and those of them that were accepted."""
        counts = self.measured.setdefault("tries", {"tries": 0.0, "accepted": 0.0})
        counts["tries"], counts["accepted"] = counts["tries"] + tries, counts["accepted"] + accepted

    def acceptance(self) -> float | None:
        """Return the share of candidates that were accepted, over all processes; None if there were none."""
        counts = all_reduce_means(self.measured["tries"]) if "tries" in self.measured else {"tries": 0.0}
        return counts["accepted"] / counts["tries"] if counts["tries"] else None

    def require_plain(self, what: str) -> None:
        """Raise a UserError if samples are selected by the discriminator; what: what has latents of the prior."""
        if self.selection is not None:
            raise UserError(f"{what} has latents of the prior, and {self.selection.name} selects others: leave it out")

    def standing(self, batches: int | None, batch_size: int | None = None, seed: int = 0) -> "Sampler":
        """Return a sampler with standing statistics (`recompute_statistics`) in a copy of the generator.

        batches: None: this sampler. batch_size: None: that of training. Raises a UserError without batch norm.
        """
        if batches is None:
            return self
        require_statistics(self.generator, f"standing_statistics={batches}")
        size = self.batch_size if batch_size is None else batch_size
        if size is None:
            raise UserError("standing_statistics: the batch size of training isn't known: set standing_batch_size=N")
        other = copy.copy(self)
        other.generator = copy.deepcopy(uncompiled(self.generator))
        other.recompute_statistics(batches, size, seed)
        other.standing_statistics = f"{batches} x {size}"
        return other

    def recompute_statistics(self, batches: int, batch_size: int, seed: int) -> None:
        """Set batch norm's running statistics to their mean over batches of samples.

        They are a function of the seed. Classes are uniform. Each process generates all batches.
        """
        require(1, standing_statistics=batches)
        require(2, standing_batch_size=batch_size)
        purpose = "standing statistics"
        with standing_statistics(self.generator):
            for batch in range(batches):
                latents, labels = self.latents(batch_size, seed, batch * batch_size, purpose), None
                if self.num_classes:
                    labels = torch.randint(
                        self.num_classes, (batch_size,), generator=generator_for(seed, f"classes of {purpose}", batch)
                    )
                self.generate(latents, labels, batch_size)

    def sample_uint8(self, n: int, seed: int = 0, labels: Tensor | int | None = None, start: int = 0) -> Tensor:
        """Generate images as `sample` does, rounded and clamped to 0..255; UserError if they are points."""
        if self.generates_points:
            raise UserError("this generator makes points, which can't be converted to uint8: use sample()")
        return to_uint8(self.sample(n, seed, labels, start), self.value_range)

    def source(self, seed: int) -> "SampleSource":
        """Return the samples of `seed` by index, for an evaluation."""
        return SampleSource(self, seed)

    def latents(self, n: int, seed: int, start: int = 0, purpose: str = "sample") -> Tensor:
        """Draw latents start .. start + n - 1 of `seed`: (n, latent_dim), on the CPU for all devices.

        Latents of different purposes are independent.
        """
        return self.drawn(self.prior.sample, n, seed, start, purpose)

    def drawn(
        self, draw: Callable[[int, torch.Generator], Tensor], n: int, seed: int, start: int, purpose: str
    ) -> Tensor:
        """Return rows start .. start + n - 1 of what `draw(BLOCK, generator)` draws, on the CPU.

        Row i is a function of the seed, the purpose and i.
        """
        first, last = start // BLOCK, (start + n - 1) // BLOCK
        blocks = [draw(BLOCK, generator_for(seed, purpose, block)) for block in range(first, last + 1)]
        offset = start - first * BLOCK
        return torch.cat(blocks)[offset : offset + n]

    def labels(self, n: int, labels: Tensor | int | None = None, start: int = 0) -> Tensor | None:
        """Return the classes (n,) of samples start .. start + n - 1; None if the generator is unconditional."""
        if not self.num_classes:
            if labels is not None:
                raise UserError("this generator is unconditional: sample without classes")
            return None
        if labels is None:
            return torch.arange(start, start + n) % self.num_classes
        labels = torch.as_tensor(labels, dtype=torch.int64).expand(n)
        if bool(((labels < 0) | (labels >= self.num_classes)).any()):
            raise UserError(f"classes run from 0 to {self.num_classes - 1}")
        return labels


class SampleSource:
    """The samples of one seed, for an evaluation: `source(0, 64)` returns the first 64."""

    def __init__(self, sampler: Sampler, seed: int) -> None:
        self.sampler, self.seed = sampler, seed

    def __call__(self, start: int, stop: int) -> Tensor:
        """Generate samples start .. stop - 1: uint8 images or float points; UserError if any isn't finite."""
        samples = self.sampler.sample(stop - start, self.seed, start=start)
        if not samples.isfinite().all():
            raise UserError(f"the generator makes values that aren't finite (samples {start} to {stop - 1})")
        return samples if self.sampler.generates_points else to_uint8(samples, self.sampler.value_range)

    def labels(self, start: int, stop: int) -> Tensor | None:
        """Return the classes (stop - start,) int64 of those samples; None if the generator is unconditional."""
        return self.sampler.labels(stop - start, start=start)

    def paths(self, start: int, stop: int, epsilon: float) -> Tensor:
        """Generate pairs of samples with close latents: float32 (stop - start, 2, C, H, W).

        The second latent is a fraction `epsilon` of the way to another one, by the prior's interpolation; the class is
        the same. Levels 0 to 255, neither rounded nor clamped. Raises a UserError if the generator makes points.
        """
        sampler, n = self.sampler, stop - start
        if sampler.generates_points:
            raise UserError("this generator makes points, which have no perceptual path length: leave 'ppl' out")
        sampler.require_plain("'ppl'")
        starts, ends = (sampler.latents(n, self.seed, start, purpose) for purpose in ("sample", "path ends"))
        pairs = torch.stack([starts, sampler.prior.interpolate(starts, ends, epsilon)], 1)
        labels = self.labels(start, stop)
        images = sampler.generate(pairs.flatten(0, 1), None if labels is None else labels.repeat_interleave(2))
        return to_levels(images, sampler.value_range).unflatten(0, (n, 2))


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Set the network to evaluation mode, and restore each module's mode afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
