"""Points of a known density, in place of images: fresh ones for each round, drawn on the training device."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor

from gan_research.checkpoints.rebuild import describe
from gan_research.data.base import Data
from gan_research.data.densities import Density
from gan_research.data.loading import Batch, ImageRounds, Rounds
from gan_research.data.sets import Read, SampleSet
from gan_research.utils.errors import UserError, require
from gan_research.utils.rng import generator_for


class PointSet(SampleSet):
    """`size` points of `density`, float32 (dim,) each, without labels: the draw of `seed` named `part`."""

    labels = None

    def __init__(self, density: Density, size: int, part: str, seed: int = 0) -> None:
        self.density, self.part, self.seed = density, part, seed
        self.sample_shape = (density.dim,)
        self.points = density.sample(size, generator_for(seed, f"{part} points"))

    def __len__(self) -> int:
        return len(self.points)

    def read(self, start: int, stop: int) -> Read:
        return self.points[start:stop], None

    def gather(self, indices: Sequence[int] | Tensor) -> Read:
        return self.points[torch.as_tensor(indices)], None

    def content_hash(self) -> str:
        """Return a hash of the density and the draw: the last bits of values may differ between machines."""
        draw = [describe(self.density), self.part, len(self), *([self.seed] if self.seed else [])]
        return hashlib.blake2b(json.dumps(draw, sort_keys=True).encode(), digest_size=16).hexdigest()


class PointRounds(Rounds):
    """Fresh points in each round r, drawn on the device from (seed, "points", r)."""

    def __init__(self, density: Density, *args: Any) -> None:
        super().__init__(*args)
        self.density = density

    def iterate(self, start: int) -> Iterator[Batch]:
        size = self.layout.minibatches * self.batch_size
        for round in count(start):
            points = self.density.sample(size, generator_for(self.seed, "points", round, self.device))
            yield Batch(self.layout.shard(points), None, round)


class FixedPointRounds(ImageRounds):
    """Rounds of `train_size` points drawn from (seed, "training points"), in an endless random order."""

    def __init__(self, density: Density, train_size: int, seed: int, *args: Any) -> None:
        super().__init__(PointSet(density, train_size, "training", seed), seed, *args)

    def iterate(self, start: int) -> Iterator[Batch]:
        points = self.images.take(len(self.images)).to(self.device)
        for round, indices in enumerate(self.indices(start, self.device), start):
            yield Batch(points.index_select(0, indices), None, round)


class Points(Data):
    """Fresh samples of `density`, each seen once: float32 (N, dim), unscaled, without labels.

    Round r is a function of (seed, r), for any number of ranks. `train` and `heldout` are two fixed draws of
    `reference` points each, for evaluation and the log.

    train_size: the number of points, drawn once from the seed, to train on instead of fresh ones.
    """

    resolution = None
    value_range = (-math.inf, math.inf)
    metrics = "points"

    def __init__(
        self,
        density: Density,
        reference: int = 20_000,
        train_size: int | None = None,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        if train_size is not None and train_size < batch_size:
            raise UserError(f"data.train_size={train_size} is less than batch_size={batch_size}: raise it")
        require(2, **{"data.reference": reference})
        self.density, self.reference, self.train_size = density, reference, train_size
        self.name, self.channels = density.name, density.dim

    def load(self, download: bool) -> tuple[PointSet, PointSet]:
        return PointSet(self.density, self.reference, "train"), PointSet(self.density, self.reference, "held-out")

    def make_rounds(self, *args: Any) -> Rounds:
        if self.train_size is None:
            return PointRounds(self.density, *args)
        return FixedPointRounds(self.density, self.train_size, *args)

    def summary(self) -> str:
        points = "fresh points in each round" if self.train_size is None else f"{self.train_size:,} points"
        return f"{self.name}: {points}, of {self.channels} numbers"

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "density": describe(self.density)}
