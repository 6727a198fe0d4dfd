"""The images of a `View`, by a sampler."""

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_research.explore.view import Place, View
from gan_research.networks import Generator
from gan_research.sampling.layer_noise import Kind, NoiseOf
from gan_research.sampling.priors import linear
from gan_research.sampling.sampler import Sampler
from gan_research.sampling.sefa import directions
from gan_research.utils.errors import UserError
from gan_research.utils.images import to_uint8
from gan_research.utils.lightning_compat import uncompiled

KEPT = 0.5  # any psi but 1: the sampler that keeps the mean of w
STYLES, PLACES = 8, 64  # the samplers and latents that are kept, as a selection takes long


class Explorer:
    """A generator to look around in; raises a UserError if its samples aren't grey or colour images."""

    def __init__(self, sampler: Sampler) -> None:
        if sampler.generates_points:
            raise UserError("this generator makes points: only images are explored (gan sample plots points)")
        self.sampler = sampler
        self._sampler, self._drawn = lru_cache(STYLES)(self._styled), lru_cache(PLACES)(self._draw)
        self.shape = tuple(self.images(View()).shape[1:])
        if self.shape[0] not in (1, 3):
            raise UserError(f"images of {self.shape[0]} channels can't be shown: gan sample writes them as .npz")

    @property
    def description(self) -> str:
        """The generator's class, its number of parameters, its latents and images."""
        network = uncompiled(self.sampler.generator)
        count = sum(parameter.numel() for parameter in network.parameters())
        mapped = f", w of {network.num_ws} x {network.w_dim}" if self.sampler.mapped is not None else ""
        shape = " x ".join(map(str, self.shape))
        return f"{type(network).__name__}: {count:,} parameters, {network.latent_dim} latents{mapped}; images {shape}"

    @property
    def layers(self) -> int:
        """The number of layers with a w; 0 without a mapping."""
        return 0 if self.sampler.mapped is None else self.sampler.mapped.num_ws

    @property
    def has_noise(self) -> bool:
        """True if layers add noise."""
        return bool(getattr(self.sampler.generator, "noise_dim", 0))

    @property
    def can_truncate(self) -> bool:
        """True if the prior's latents can be truncated."""
        try:
            return bool(self.sampler.truncated(1.0))
        except UserError:
            return False

    @cached_property
    def directions(self) -> tuple[Tensor, Tensor]:
        """The directions of SeFa: sigmas (k,) and the directions (k, in); none if the generator has no affine map."""
        try:
            return directions(cast(Generator, self.sampler.generator))
        except UserError:
            return torch.zeros(0), torch.zeros(0, 1)

    def images(self, view: View, count: int = 1) -> Tensor:
        """Return the uint8 images (count, C, H, W) of a view and of the next samples.

        All are changed in the same way.
        """
        sampler = self._sampler(view.truncation, view.psi, view.cutoff, view.noise)
        latents, labels, noise = self._drawn(sampler, view.place, count)
        if view.position == 0 and not any(view.moves):
            return to_uint8(sampler.generate(latents, labels, noise_of=noise), sampler.value_range).cpu()
        if view.position > 0:
            ends, end_labels, end_noise = self._drawn(sampler, view.end, count)
            noise = replace(noise, towards=end_noise, t=view.position)
            if sampler.mapped is None:
                latents = sampler.prior.interpolate(latents, ends, view.position)
                labels = self._between(labels, end_labels, view.position)
        mapped = sampler.map(latents, labels)
        if view.position > 0 and sampler.mapped is not None:
            mapped = linear(mapped, sampler.map(ends, end_labels), view.position)
        if any(view.moves):
            mapped = mapped + (
                torch.tensor(view.moves, dtype=torch.float32) @ self.directions[1][: len(view.moves)]
            ).to(mapped)
        return to_uint8(sampler.synthesise(mapped, labels, noise_of=noise), sampler.value_range).cpu()

    def path(self, view: View, count: int) -> Tensor:
        """Return images (count, C, H, W) on the way of a view, at equal distances, both ends included."""
        positions = torch.linspace(0, 1, count).tolist()
        return torch.cat([self.images(replace(view, position=position)) for position in positions])

    def _styled(self, truncation: float | None, psi: float, cutoff: int | None, noise: Kind) -> Sampler:
        if psi == 1:
            return self.sampler.truncated(truncation).styled(noise=noise)
        return self._with_mean.truncated(truncation).styled(psi, cutoff, noise)

    @cached_property
    def _with_mean(self) -> Sampler:
        sampler = self.sampler.styled(KEPT)
        sampler.map(self.sampler.latents(1, 0), self.sampler.labels(1))  # computes the mean of w
        return sampler

    def _draw(self, sampler: Sampler, place: Place, count: int) -> tuple[Tensor, Tensor | None, NoiseOf]:
        """Draw the latents of `count` samples from `place` on, their classes and layers' noise."""
        labels = sampler.labels(count, place.label, place.number)
        latents = sampler.sample_latents(count, place.seed, place.number, labels)
        return latents, labels, NoiseOf(place.seed, range(place.number, place.number + count))

    def _between(self, labels: Tensor | None, ends: Tensor | None, position: float) -> Tensor | None:
        """Return the classes, or weights of classes (n, num_classes) between different ones."""
        if labels is None or ends is None or torch.equal(labels, ends):
            return labels
        a, b = (F.one_hot(each, self.sampler.num_classes).float() for each in (labels, ends))
        return a.lerp(b, position)
