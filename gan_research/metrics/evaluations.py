"""Several evaluations of one run, each with its own extractor, protocol and interval."""

from collections.abc import Mapping
from itertools import combinations

import torch

from gan_research.data.sets import SampleSet
from gan_research.metrics.base import Direction
from gan_research.metrics.evaluation import Evaluation
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError


class Evaluations:
    """Evaluations by their names, such as inception and precision_recall.

    Raises a UserError if two of them measure the same column.
    """

    def __init__(self, parts: Mapping[str, Evaluation]) -> None:
        self.parts = dict(parts)
        for (a, first), (b, second) in combinations(self.parts.items(), 2):
            if both := [name for name in first.measured if name in second.measured]:
                left = [metric.name for metric in second.metrics if not set(metric.measured) & set(both)]
                advice = f"metrics.{b}.metrics=[{','.join(left)}]" if left else f"leave {b} out"
                raise UserError(f"metrics=[{a},{b}] both measure {', '.join(both)}, in one column: {advice}")

    @property
    def columns(self) -> dict[str, Direction]:
        """The columns that rank generators, the first evaluation's first, and the better direction of each."""
        return {column: better for part in self.parts.values() for column, better in part.columns.items()}

    def check(self, sampler: Sampler) -> None:
        """Raise a UserError if a generator can't be evaluated so."""
        for part in self.parts.values():
            part.check(sampler)

    @property
    def is_prepared(self) -> bool:
        """True once the statistics of real samples are known."""
        return all(part.is_prepared for part in self.parts.values())

    def prepare(
        self, real: SampleSet | None, device: torch.device | str = "cpu", heldout: SampleSet | None = None
    ) -> None:
        """Compute the statistics of real samples for all evaluations, or read them from the cache."""
        for part in self.parts.values():
            part.prepare(real, device, heldout=heldout)
