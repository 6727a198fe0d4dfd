"""Points of a known density, in place of pictures: drawn afresh, on the training device, for as long as it takes."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from itertools import count
from pkgutil import resolve_name
from typing import Any

import torch

from gan_research.data.base import Data
from gan_research.data.densities import Density
from gan_research.data.loading import Batch, Rounds
from gan_research.data.sets import Read, SampleSet
from gan_research.description import describe
from gan_research.errors import UserError
from gan_research.streams import stream


class PointSet(SampleSet):
    """`size` points of `density`, float32 (dim,) each, without labels: the draw named `part`, the same in all runs."""

    labels = None

    def __init__(self, density: Density, size: int, part: str) -> None:
        self.density, self.part = density, part
        self.sample_shape = (density.dim,)
        self.points = density.sample(size, stream(0, f"{part} points"))

    def __len__(self) -> int:
        return len(self.points)

    def read(self, start: int, stop: int) -> Read:
        return self.points[start:stop], None

    def gather(self, indices: Sequence[int]) -> Read:
        return self.points[torch.as_tensor(indices)], None

    def content_hash(self) -> str:
        """Of the density and the draw; not of the values, whose last bits may differ between machines."""
        content = json.dumps([describe(self.density), self.part, len(self)], sort_keys=True)
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


class PointRounds(Rounds):
    """Round r is one draw from `stream(seed, "points", r)`, on the device."""

    def __init__(self, density: Density, **share: Any) -> None:
        super().__init__(**share)
        self.density = density

    def play(self, start: int) -> Iterator[Batch]:
        size = self.discriminator_steps * self.batch_size
        for round in count(start):
            points = self.density.sample(size, stream(self.seed, "points", round, self.device))
            yield Batch(self.share(points), None, round)


class Points(Data):
    """Fresh samples of `density`, each seen once: float32 (N, dim), unscaled, without labels.

    Round r is a function of (seed, r), whatever the number of ranks. `train` and `heldout` are two fixed draws of
    `reference` points each, for evaluation and the log.
    """

    resolution = None
    value_range = (-math.inf, math.inf)
    metrics = "points"

    def __init__(self, density: Density, reference: int = 20_000, batch_size: int = 64, seed: int = 0) -> None:
        super().__init__(batch_size, seed)
        if reference < 2:
            raise UserError(f"data.reference={reference} must be at least 2")
        self.density, self.reference = density, reference
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
        return PointRounds(self.density, **share)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "density": describe(self.density)}
