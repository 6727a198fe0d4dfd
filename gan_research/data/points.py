"""Points of a known density, in place of pictures: drawn afresh, on the training device, for as long as it takes."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from itertools import count
from pkgutil import resolve_name
from typing import Any

import torch

from gan_research.checkpoints.rebuild import describe
from gan_research.data.base import Data
from gan_research.data.densities import Density
from gan_research.data.loading import Batch, ImageRounds, Rounds
from gan_research.data.sets import Read, SampleSet
from gan_research.utils.errors import UserError
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

    def gather(self, indices: Sequence[int]) -> Read:
        return self.points[torch.as_tensor(indices)], None

    def content_hash(self) -> str:
        """Of the density and the draw; not of the values, whose last bits may differ between machines."""
        draw = [describe(self.density), self.part, len(self), *([self.seed] if self.seed else [])]
        content = json.dumps(draw, sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


class PointRounds(Rounds):
    """Round r is one draw from `stream(seed, "points", r)`, on the device."""

    def __init__(self, density: Density, **share: Any) -> None:
        super().__init__(**share)
        self.density = density

    def play(self, start: int) -> Iterator[Batch]:
        size = self.layout.discriminator_steps * self.batch_size
        for round in count(start):
            points = self.density.sample(size, generator_for(self.seed, "points", round, self.device))
            yield Batch(self.layout.own(points), None, round)


class FixedPointRounds(ImageRounds):
    """Rounds of `train_size` points, drawn from `stream(seed, "training points")`, in the endless order of pictures."""

    def __init__(self, density: Density, train_size: int, **share: Any) -> None:
        super().__init__(PointSet(density, train_size, "training", share["seed"]), **share)

    def play(self, start: int) -> Iterator[Batch]:
        points = self.images.take(len(self.images)).to(self.device)
        for round, indices in enumerate(self.indices(start, self.device), start):
            yield Batch(points.index_select(0, indices), None, round)


class Points(Data):
    """Fresh samples of `density`, each seen once: float32 (N, dim), unscaled, without labels.

    Round r is a function of (seed, r), whatever the number of ranks. `train` and `heldout` are two fixed draws of
    `reference` points each, for evaluation and the log.

    train_size: train on so many points, drawn once from the seed, in place of fresh ones.
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
        if reference < 2:
            raise UserError(f"data.reference={reference} must be at least 2")
        self.density, self.reference, self.train_size = density, reference, train_size
        self.name, self.channels = density.name, density.dim

    @classmethod
    def suited_metrics(cls, node: dict[str, Any]) -> str:
        """That of the density's class."""
        target = (node.get("density") or {}).get("_target_")
        try:
            return resolve_name(str(target)).metrics
        except Exception as error:
            raise UserError(f"data.density._target_={target} is no density: {error}") from error

    def load(self, download: bool) -> tuple[PointSet, PointSet]:
        return PointSet(self.density, self.reference, "train"), PointSet(self.density, self.reference, "held-out")

    def make_rounds(self, **share: Any) -> Rounds:
        if self.train_size is None:
            return PointRounds(self.density, **share)
        return FixedPointRounds(self.density, self.train_size, **share)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "density": describe(self.density)}
