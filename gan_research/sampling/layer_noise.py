"""The noise inside a generator's layers, as a function of the seed and the sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gan_research.sampling.priors import GaussianPrior
from gan_research.utils.rng import generator_for

Kind = Literal["random", "constant", "none"]


@dataclass(frozen=True)
class NoiseOf:
    """The layers' noise of the samples with these numbers: sample i's is a function of (seed, purpose, i).

    Each sample has a stream of its own, because a block of them would take gigabytes at large resolutions. With
    `towards` it is interpolated to that of other samples, at t.
    """

    seed: int
    numbers: Sequence[int]
    purpose: str = "sample"
    towards: "NoiseOf | None" = None
    t: float = 0.0

    def rows(self, rows: slice, size: int, kind: Kind) -> Tensor | None:
        """Return the noise (N, size) of some of the samples, on the CPU; None if there is none.

        kind: "random"; "constant": that of sample 0 for all; "none".
        """
        numbers = self.numbers[rows]
        if kind == "none" or not size:
            return None
        if kind == "constant":
            return self._row(0, size).expand(len(numbers), -1)
        own = (self._row(number, size) for number in numbers)
        if self.towards is None:
            return torch.stack([*own])
        others = (self.towards._row(number, size) for number in self.towards.numbers[rows])
        between = GaussianPrior(size).interpolate
        return torch.stack([between(a, b, self.t) for a, b in zip(own, others, strict=True)])

    def _row(self, number: int, size: int) -> Tensor:
        return torch.randn(size, generator=generator_for(self.seed, f"layers of {self.purpose}", number))
