"""Interpolations between samples: in their latents, w, classes, or latents and classes; grids and films of them."""

import math
from dataclasses import replace
from itertools import product
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError, require
from gan_research.utils.images import grid, to_uint8

Varied = Literal["latents", "w", "classes", "both"]


class Interpolation:
    """Closed paths of n samples at once through `keyframes` samples each.

    Path i passes the latents i, n + i, 2 n + i, ... of the seed, or the classes i, i + 1, ..., or both. If only one of
    them varies, the other is sample i's. The beginning is `sampler.sample(n, seed)`, bit for bit, and all keyframes are
    plain samples too. Latents, and the layers' noise of samples, follow the prior's interpolation; classes are mixed
    linearly, and so is the w of latents if it is varied.

    varied: latents, w, classes or both (latents and classes). label: the class of all paths; by default sample i has
    class i mod num_classes.
    """

    def __init__(
        self, sampler: Sampler, varied: Varied, n: int, keyframes: int, seed: int = 0, label: int | None = None
    ) -> None:
        require(2, keyframes=keyframes)
        sampler.require_plain("an interpolation")
        if sampler.generates_points:
            raise UserError("this generator makes points: only images are interpolated")
        of_classes = varied in ("classes", "both")
        if of_classes and sampler.num_classes < 2:
            raise UserError(f"this generator has no classes to interpolate in: choose latents, not {varied}")
        if of_classes and label is not None:
            raise UserError(f"class {label} of all samples, and an interpolation of {varied}: leave one of them out")
        self.sampler, self.keyframes = sampler, keyframes
        starts = [k * n if varied != "classes" else 0 for k in range(keyframes)]
        self.latents = [sampler.latents(n, seed, start) for start in starts]
        self.noise = [NoiseOf(seed, range(start, start + n)) for start in starts]
        if varied != "w":
            try:
                sampler.prior.interpolate(self.latents[0], self.latents[1], 0.5)
            except NotImplementedError as error:
                raise UserError(f"{type(sampler.prior).__name__} has no interpolate: implement it") from error
        self.labels = [sampler.labels(n, label)] * keyframes
        if of_classes:
            classes = [torch.arange(k, k + n) % sampler.num_classes for k in range(keyframes)]
            self.labels = [F.one_hot(each, sampler.num_classes).float() for each in classes]
        self.ws: list[Tensor] = []
        if varied == "w":
            sampler.require_mapping("an interpolation of w")
            self.ws = [sampler.map(*pair) for pair in zip(self.latents, self.labels, strict=True)]

    def __call__(self, position: float) -> Tensor:
        """Return the samples (n, C, H, W) at a position: k at keyframe k, and again the first at `keyframes`."""
        k, t = divmod(position, 1)
        a, b = int(k) % self.keyframes, int(k + 1) % self.keyframes
        latents, labels, noise = self.latents[a], self.labels[a], self.noise[a]
        if t == 0:  # the plain samples' own tensors: the last bits of products depend on a tensor's alignment
            return self.sampler.generate(latents, labels, noise_of=noise)
        noise, end = replace(noise, towards=self.noise[b], t=t), self.labels[b]
        if self.ws:
            return self.sampler.synthesise(self.ws[a].lerp(self.ws[b], t), labels, noise_of=noise)
        latents = self.sampler.prior.interpolate(latents, self.latents[b], t)
        if labels is not None and end is not None and labels.is_floating_point():
            labels = labels.lerp(end, t)
        return self.sampler.generate(latents, labels, noise_of=noise)

    def grid(self, steps: int) -> Tensor:
        """Return a uint8 image (3, height, width) with a row for each path.

        steps: images from a keyframe to the next, both included.
        """
        require(2, steps=steps)
        positions = [k + step / (steps - 1) for k, step in product(range(self.keyframes - 1), range(steps - 1))]
        columns = [self._levels(position) for position in [*positions, self.keyframes - 1]]
        return grid(torch.stack(columns, 1).flatten(0, 1), len(columns))

    def film(self, steps: int) -> list[Image.Image]:
        """Return the frames of a loop, each a grid of n images.

        steps: frames from a keyframe to the next, without that one. The speed is 0 at keyframes, so that the film is
        smooth there: t = (1 - cos(pi s)) / 2.
        """
        require(1, steps=steps)
        positions = [
            k + (1 - math.cos(math.pi * step / steps)) / 2 for k, step in product(range(self.keyframes), range(steps))
        ]
        return [self._frame(position) for position in positions]

    def _frame(self, position: float) -> Image.Image:
        images = self._levels(position)
        frame = Image.fromarray(grid(images).permute(1, 2, 0).numpy())
        return frame.convert("L") if images.shape[1] == 1 else frame

    def _levels(self, position: float) -> Tensor:
        """Return the samples at a position as uint8 images."""
        images = to_uint8(self(position), self.sampler.value_range).cpu()
        if images.shape[1] not in (1, 3):
            raise UserError(f"images of {images.shape[1]} channels can't be shown")
        return images
