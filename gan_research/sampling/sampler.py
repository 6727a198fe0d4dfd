"""Sampling from a generator, in training, in evaluation and from a checkpoint."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gan_research.distributed import all_reduce_means
from gan_research.networks import MappedGenerator
from gan_research.networks.layers import class_rows
from gan_research.sampling.layer_noise import Kind, NoiseOf
from gan_research.sampling.priors import Prior, linear
from gan_research.sampling.selection.base import Selection
from gan_research.sampling.standing import require_statistics, standing_statistics
from gan_research.utils.errors import UserError, require, require_positive
from gan_research.utils.images import to_levels, to_uint8
from gan_research.utils.lightning_compat import uncompiled
from gan_research.utils.rng import generator_for

BLOCK = 256  # the number of latents drawn at once; sample i is a function of (seed, i)
LATENTS_OF_MEAN = 10_000  # over which the mean of w is computed, as in NVIDIA's projector


class Sampler:
    """A generator with its prior: `sample(64, seed=0)` returns images, or points.

    Samples are drawn in evaluation mode without gradients; neither the generator nor the global random state changes.
    Sample i is a function of (seed, i) only. `description` names the sampling method in the protocol of an evaluation;
    `truncation` is the threshold of latents, see `truncated`; `psi`, `cutoff`, `by_class` and `noise`: see `styled`;
    `standing_statistics` describes those of `standing`, such as "16 x 64". `batch_size`: of training, if known.
    `discriminator`: the generator's opponent, if it was loaded; `selection`: the method that selects samples by it, see
    `selecting`.
    """

    description = "prior"
    truncation: float | None = None
    psi: float = 1.0
    cutoff: int | None = None
    by_class: bool = False
    noise: Kind = "random"
    batch_size: int | None = None
    standing_statistics: str | None = None
    discriminator: nn.Module | None = None
    selection: Selection | None = None
    _mean: Tensor | None = None  # of w, if psi needs it

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
        style = {"psi": None if self.psi == 1 else self.psi, "cutoff": self.cutoff, "psi_by_class": self.by_class}
        noise = {"noise": None if self.noise == "random" else self.noise}
        return {"sampling": sampling, "truncation": self.truncation} | style | noise | standing

    @property
    def mapped(self) -> MappedGenerator | None:
        """The generator if it has a mapping, as it was before torch.compile; else None."""
        network = uncompiled(self.generator)
        return network if isinstance(network, MappedGenerator) else None

    def require_mapping(self, what: str) -> MappedGenerator:
        """Return the generator if it has a mapping; a UserError if not. what: what needs it."""
        if self.mapped is None:
            name = type(uncompiled(self.generator)).__name__
            raise UserError(f"{what}: {name} has no mapping from latents to w, as that of StyleGAN: leave it out")
        return self.mapped

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

    def styled(
        self, psi: float = 1.0, cutoff: int | None = None, noise: Kind = "random", by_class: bool = False
    ) -> "Sampler":
        """Return this sampler with other styles: w -> mean + psi (w - mean), and other noise inside layers.

        Karras et al. 2019, "A style-based generator architecture", appendix B. The mean is `mean_w`, of the weights at
        the first use. psi = 1 changes nothing; with psi = 0 all samples without noise are equal. Raises a UserError if
        the generator has no mapping, layers or noise of that kind.

        cutoff: only the first layers, this many, get the changed w; None: all. by_class: each sample moves
        towards the mean of its class (Sauer et al. 2022, StyleGAN-XL). noise: "random": sample i's is a function of
        (seed, i); "constant": all have that of sample 0; "none".
        """
        if noise not in get_args(Kind):
            raise UserError(f"noise={noise}: set {', '.join(get_args(Kind))}")
        if noise != "random" and not getattr(self.generator, "noise_dim", 0):
            name = type(uncompiled(self.generator)).__name__
            raise UserError(f"noise={noise}: {name} adds no noise inside its layers: leave it out")
        if not math.isfinite(psi):
            raise UserError(f"psi={psi}: set a finite number, such as 0.7")
        if psi != 1:
            self.require_mapping(f"psi={psi:g}")
        layers = 0 if cutoff is None else self.require_mapping(f"cutoff={cutoff}").num_ws
        if cutoff is not None and not 1 <= cutoff <= layers:
            raise UserError(f"cutoff={cutoff}: this generator has {layers} layers: set 1 to {layers}")
        if by_class and not self.num_classes:
            raise UserError("psi_by_class: this generator has no classes: leave it out")
        other = copy.copy(self)
        other.psi, other.noise = psi, noise
        other.cutoff, other.by_class = (None, False) if psi == 1 else (cutoff, by_class)
        other._mean = self._mean if other.by_class == self.by_class else None
        return other

    @torch.no_grad()
    def mean_w(self, by_class: bool = False) -> Tensor:
        """Compute the mean of w over 10,000 latents of the prior, always the same: (w_dim,).

        The classes are taken in turn; by_class: of each class, over these latents: (num_classes, w_dim).
        """
        network = self.require_mapping("the mean of w")
        if by_class and not self.num_classes:
            raise UserError("the mean of w of each class: this generator has no classes")
        latents = self.latents(LATENTS_OF_MEAN, 0, purpose="mean of w").split(BLOCK)

        def mean(labels: Tensor | None) -> Tensor:
            classes = repeat(None) if labels is None else labels.split(BLOCK)
            with eval_mode(network):
                ws = [network.to_w(*self._moved(*batch)).cpu() for batch in zip(latents, classes, strict=False)]
            return torch.cat(ws).double().mean(0)

        classes = range(self.num_classes) if by_class else [None]
        means = [mean(self.labels(LATENTS_OF_MEAN, label)) for label in classes]
        return (torch.stack(means) if by_class else means[0]).to(next(network.parameters()))

    @torch.no_grad()
    def sample(
        self, n: int, seed: int = 0, labels: Tensor | int | None = None, start: int = 0, batch_size: int = 500
    ) -> Tensor:
        """Generate samples start .. start + n - 1 of `seed`, on the generator's device.

        Returns float32 images (n, C, H, W), as the generator makes them, or points (n, dim).

        labels: (n,) int64 classes, or one class for all (None: if conditional, sample i has class i mod num_classes).
        """
        require(1, n=n)
        labels, numbers = self.labels(n, labels, start), NoiseOf(seed, range(start, start + n))
        return self.generate(self.sample_latents(n, seed, start, labels, batch_size), labels, batch_size, numbers)

    @torch.no_grad()
    def generate(
        self, latents: Tensor, labels: Tensor | None, batch_size: int = 500, noise_of: NoiseOf | None = None
    ) -> Tensor:
        """Generate samples from latents (n, latent_dim) and classes (n,), as `sample` does.

        labels: also weights of classes (n, num_classes), whose rows add up to 1, for samples between classes.
        noise_of: the samples whose layers' noise these get; by default samples 0 ... n - 1 of seed 0.
        """
        return self._in_batches(self.images, latents, labels, batch_size, noise_of)

    def images(self, latents: Tensor, labels: Tensor | None, noise: Tensor | None = None) -> Tensor:
        """Generate one batch, as `generate` does, differentiable in the latents; noise: the layers', (n, noise_dim)."""
        if self.psi == 1:
            return self._forward(self._truncate(latents), labels, noise)
        return self._synthesise(self._map(latents, labels), labels, noise)

    @torch.no_grad()
    def map(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Map latents (n, latent_dim) to what the generator's first affine maps get.

        With a mapping: the layers' w, with psi: (n, num_ws, w_dim). Else: the latents, truncated.
        """
        return self._map(latents, labels)

    def _map(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        latents, network = self._truncate(latents), self.mapped
        if network is None:
            return latents
        with eval_mode(network):
            ws = network.map(*self._moved(latents, labels))
        if self.psi == 1:
            return ws
        if self._mean is None:
            self._mean = self.mean_w(self.by_class)
        mean = self._mean.to(ws)
        if self.by_class and labels is not None:
            mean = class_rows(labels.to(ws.device), mean)[:, None]
        return torch.cat([mean.lerp(ws[:, : self.cutoff], self.psi), ws[:, self.cutoff or ws.shape[1] :]], 1)

    @torch.no_grad()
    def synthesise(
        self, mapped: Tensor, labels: Tensor | None, batch_size: int = 500, noise_of: NoiseOf | None = None
    ) -> Tensor:
        """Generate samples from what `map` returns for latents and these labels, as `generate` does."""
        return self._in_batches(self._synthesise, mapped, labels, batch_size, noise_of)

    def _synthesise(self, mapped: Tensor, labels: Tensor | None, noise: Tensor | None) -> Tensor:
        if (network := self.mapped) is None:
            return self._forward(mapped, labels, noise)
        with eval_mode(network):
            return network.synthesise(*self._moved(mapped, noise))

    def _forward(self, latents: Tensor, labels: Tensor | None, noise: Tensor | None) -> Tensor:
        with eval_mode(self.generator):
            inputs = self._moved(latents, labels, noise)
            samples: Tensor = self.generator(*(inputs[:2] if noise is None else inputs))
        return samples

    def _truncate(self, latents: Tensor) -> Tensor:
        return latents if self.truncation is None else self.prior.truncate(latents, self.truncation)

    def _moved(self, *inputs: Tensor | None) -> list[Any]:
        """Return tensors on the generator's device, and in its dtype if they are floats."""
        weights = next(self.generator.parameters())
        return [x if x is None else x.to(weights if x.is_floating_point() else weights.device) for x in inputs]

    def _in_batches(
        self,
        generate: Callable[[Tensor, Tensor | None, Tensor | None], Tensor],
        inputs: Tensor,
        labels: Tensor | None,
        batch_size: int,
        noise_of: NoiseOf | None,
    ) -> Tensor:
        """Generate samples batch by batch; the noise of a batch is drawn when it is needed."""
        noise_of, size = noise_of or NoiseOf(0, range(len(inputs))), getattr(self.generator, "noise_dim", 0)
        samples = []
        for start in range(0, len(inputs), batch_size):
            rows = slice(start, start + batch_size)
            noise = noise_of.rows(rows, size, self.noise)
            samples.append(generate(inputs[rows], None if labels is None else labels[rows], noise))
        return torch.cat(samples)

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

    def sample_latents(
        self, n: int, seed: int, start: int = 0, labels: Tensor | None = None, batch_size: int = 500
    ) -> Tensor:
        """Return the latents (n, latent_dim) of samples start .. start + n - 1, selected if there is a selection.

        labels: (n,) the samples' classes.
        """
        if self.selection is None:
            return self.latents(n, seed, start)
        found = []
        for first in range(0, n, batch_size):
            size = min(batch_size, n - first)
            classes = None if labels is None else labels[first : first + size]
            found.append(self.selection.latents(self, size, seed, start + first, classes, batch_size))
        return torch.cat(found)

    def layer_noise(self, seed: int, numbers: Sequence[int], purpose: str = "sample") -> Tensor | None:
        """Return the layers' noise (N, noise_dim) of samples by their numbers; None if there is none."""
        return NoiseOf(seed, numbers, purpose).rows(slice(None), getattr(self.generator, "noise_dim", 0), self.noise)

    def logits(self, latents: Tensor, labels: Tensor | None, noise: Tensor | None = None) -> Tensor:
        """Return D's logits (N,) of the samples of one batch of latents, as `images`."""
        network: Any = self.discriminator
        images = self.images(latents, labels, noise)
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
        other.generator, other._mean = copy.deepcopy(uncompiled(self.generator)), None
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
                numbers = range(batch * batch_size, (batch + 1) * batch_size)
                self.generate(latents, labels, batch_size, NoiseOf(seed, numbers, purpose))

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

    def paths(
        self,
        start: int,
        stop: int,
        epsilon: float,
        space: Literal["z", "w"] = "z",
        sampling: Literal["full", "end"] = "end",
    ) -> Tensor:
        """Generate pairs of samples a step apart: float32 (stop - start, 2, C, H, W).

        The second one is a fraction `epsilon` further on the way between two latents than the first one, which is at
        the start of the way ("end"), or at a uniform position ("full"). The ways follow the prior's interpolation, or
        are lines between the latents' w. Both have the same class and noise. Levels 0 to 255, neither rounded nor
        clamped. Raises a UserError if the generator makes points, or has no mapping to w.
        """
        sampler, n = self.sampler, stop - start
        if sampler.generates_points:
            raise UserError("this generator makes points, which have no perceptual path length: leave 'ppl' out")
        sampler.require_plain("'ppl'")
        labels = self.labels(start, stop)
        a, b = (sampler.latents(n, self.seed, start, purpose) for purpose in ("sample", "path ends"))
        between: Callable[..., Tensor] = sampler.prior.interpolate
        synthesise: Callable[..., Tensor] = sampler.generate
        if space == "w":
            sampler.require_mapping("space=w")
            a, b = (sampler.map(latents, labels).cpu() for latents in (a, b))
            between, synthesise = linear, sampler.synthesise
        if sampling == "end":
            pairs = torch.stack([a, between(a, b, epsilon)], 1)
        else:
            t = sampler.drawn(lambda n, g: torch.rand(n, generator=g), n, self.seed, start, "path positions")
            t = t.double().view(-1, *[1] * (a.dim() - 1))
            pairs = torch.stack([between(a, b, t), between(a, b, t + epsilon)], 1)
        numbers = NoiseOf(self.seed, [i for i in range(start, stop) for _ in range(2)])
        twice = None if labels is None else labels.repeat_interleave(2)
        images = synthesise(pairs.flatten(0, 1), twice, noise_of=numbers)
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
