"""How far generated and real samples cover each other, by balls that reach to their k-th nearest neighbours."""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from gan_research.metrics.base import Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.utils.errors import UserError

BLOCK = 2048
"""Distances are held between so many samples and so many others at a time (32 MiB of float64)."""

ROUNDING = 1e-12
"""A squared distance less than this times the samples' own squared lengths is 0."""


class NeighbourMetric(Metric):
    """What the metrics here share: each sample has a ball around it, whose radius reaches its k-th nearest neighbour.

    neighbours: k. A sample isn't its own neighbour. Raises a UserError where either side has fewer than k + 1 samples.
    """

    wants = ("features",)

    def __init__(self, extractor: Extractor, neighbours: int) -> None:
        super().__init__(extractor)
        if neighbours < 1:
            raise UserError(f"metric '{self.name}' needs the setting neighbours of at least 1, not {neighbours}")
        self.neighbours = neighbours
        self.min_samples = neighbours + 1
        self.known: tuple[Tensor, Tensor] | None = None

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": None}}

    def min_real(self) -> int:
        return self.neighbours + 1

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        fakes, reals = generated["features"].features, real["train"]["features"].features
        for samples, what in ((fakes, "generated"), (reals, "real")):
            if len(samples) <= self.neighbours:
                raise UserError(
                    f"metric '{self.name}' needs at least {self.neighbours + 1} {what} samples for "
                    f"neighbours={self.neighbours}, and there are {len(samples)}"
                )
        if self.known is None or self.known[0] is not reals:  # once for the same reals
            self.known = (reals, radii(reals, self.neighbours))
        return self.compare(reals, self.known[1], fakes)

    def compare(self, reals: Tensor, real_radii: Tensor, fakes: Tensor) -> dict[str, float]:
        """Its columns: of features (N, F) of reals, the radii (N,) of their balls, and features (M, F) of fakes."""
        raise NotImplementedError


class PrecisionRecall(NeighbourMetric):
    """Precision: the share of generated samples in any real one's ball; recall: of real ones in any generated one's.

    The border belongs to the ball. Kynkäänniemi et al. 2019, arXiv 1904.06991, equations 1 to 3.
    """

    name = "precision_recall"
    columns = {"precision": "max", "recall": "max"}

    def __init__(self, extractor: Extractor, neighbours: int = 3) -> None:
        super().__init__(extractor, neighbours)

    def compare(self, reals: Tensor, real_radii: Tensor, fakes: Tensor) -> dict[str, float]:
        fake_radii = radii(fakes, self.neighbours)
        precise = torch.zeros(len(fakes), dtype=torch.bool, device=fakes.device)
        recalled = torch.zeros(len(reals), dtype=torch.bool, device=reals.device)
        for rows, columns, between in blocks(reals, fakes):
            precise[columns] |= (between <= real_radii[rows, None]).any(0)
            recalled[rows] |= (between <= fake_radii[columns]).any(1)
        return {"precision": precise.double().mean().item(), "recall": recalled.double().mean().item()}


class DensityCoverage(NeighbourMetric):
    """Density: how many real samples' balls a generated one is in, over k; coverage: the share of balls with any in.

    Density is near 1 where the distributions are the same, and more where generated samples crowd. The border isn't
    part of the ball, as in the authors' code. Naeem et al. 2020, arXiv 2002.09797, equations 4 and 5.
    """

    name = "density_coverage"
    columns = {"density": "max", "coverage": "max"}

    def __init__(self, extractor: Extractor, neighbours: int = 5) -> None:
        super().__init__(extractor, neighbours)

    def compare(self, reals: Tensor, real_radii: Tensor, fakes: Tensor) -> dict[str, float]:
        inside = 0
        covered = torch.zeros(len(reals), dtype=torch.bool, device=reals.device)
        for rows, _, between in blocks(reals, fakes):
            within = between < real_radii[rows, None]
            inside += int(within.sum())
            covered[rows] |= within.any(1)
        return {"density": inside / (self.neighbours * len(fakes)), "coverage": covered.double().mean().item()}


def radii(samples: Tensor, neighbours: int) -> Tensor:
    """How far the k-th nearest of the others is: samples (N, F), N > k = `neighbours` -> (N,) float32."""
    parts = samples.split(BLOCK)
    nearest = [torch.full((len(part), neighbours + 1), math.inf, device=part.device) for part in parts]
    for i, j in combinations_with_replacement(range(len(parts)), 2):
        between = distances(parts[i], parts[j])
        nearest[i] = smallest(nearest[i], between)
        if i != j:
            nearest[j] = smallest(nearest[j], between.T)
    return torch.cat(nearest)[:, -1]  # the first is the sample itself


def smallest(known: Tensor, new: Tensor) -> Tensor:
    """The k smallest numbers of each row in both, ascending: (N, k) and (N, M) -> (N, k)."""
    return torch.cat([known, new], 1).topk(known.shape[1], largest=False).values


def blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """The distances between the rows of (N, F) and of (M, F), block by block: which of them, and how far apart."""
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), BLOCK):
            rows, columns = slice(i, i + BLOCK), slice(j, j + BLOCK)
            yield rows, columns, distances(a[rows], b[columns])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """|a - b| for all pairs of rows: (N, F) and (M, F) -> (N, M) float32.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a b, around the mean of b and in float64: a product of float32 would tell neither
    copies from neighbours, nor ties from near misses. Its rounding is then rounded away: small distances to 0, others
    to float32, so that copies are at distance 0, and what is equally far compares as equal.
    """
    a, b = a.double(), b.double()
    centre = b.mean(0)
    a, b = a - centre, b - centre
    lengths = a.square().sum(1, keepdim=True) + b.square().sum(1)
    squares = lengths.addmm(a, b.T, alpha=-2)
    return squares.masked_fill_(squares < ROUNDING * lengths, 0).sqrt_().float()
