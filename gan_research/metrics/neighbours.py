"""Metrics of nearest neighbours: precision, recall, density and coverage."""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from gan_research.metrics.base import Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor
from gan_research.utils.ranges import NON_NEGATIVE, SHARE

BLOCK = 2048  # the number of rows and columns of a block of distances (32 MiB of float64)

ROUNDING = 1e-12  # a squared distance less than this times the samples' squared lengths is 0


class NeighbourMetric(Metric):
    """The base class: each sample has a ball around it, whose radius is the distance to its k-th nearest neighbour.

    neighbours: k. A sample isn't its own neighbour. Raises a UserError if either side has fewer than k + 1 samples.
    """

    statistics = ("features",)
    train_statistics = ("features",)

    def __init__(self, extractor: Extractor, neighbours: int) -> None:
        super().__init__(extractor)
        self.neighbours = neighbours
        self.require_setting("neighbours", neighbours >= 1, "at least 1")
        self.min_samples = self.min_real = neighbours + 1
        self.cached: tuple[Tensor, Tensor] | None = None

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        fakes, reals = self.features(generated, real)
        if self.cached is None or self.cached[0] is not reals:  # once for the same reals
            self.cached = (reals, radii(reals, self.neighbours))
        return self.compare(reals, self.cached[1], fakes)

    def compare(self, reals: Tensor, real_radii: Tensor, fakes: Tensor) -> dict[str, float]:
        """Return the columns for reals (N, F), the radii (N,) of their balls, and fakes (M, F)."""
        raise NotImplementedError


class PrecisionRecall(NeighbourMetric):
    """Precision: the share of generated samples in any real sample's ball; recall: the reverse.

    The border is part of the ball. Kynkäänniemi et al. 2019, arXiv 1904.06991, equations 1 to 3.
    """

    name = "precision_recall"
    columns = {"precision": "max", "recall": "max"}
    ranges = {"precision": SHARE, "recall": SHARE}

    def __init__(self, extractor: Extractor, neighbours: int = 3) -> None:
        super().__init__(extractor, neighbours)

    def compare(self, reals: Tensor, real_radii: Tensor, fakes: Tensor) -> dict[str, float]:
        fake_radii = radii(fakes, self.neighbours)
        precise = torch.zeros(len(fakes), dtype=torch.bool, device=fakes.device)
        recalled = torch.zeros(len(reals), dtype=torch.bool, device=reals.device)
        for rows, columns, block in distance_blocks(reals, fakes):
            precise[columns] |= (block <= real_radii[rows, None]).any(0)
            recalled[rows] |= (block <= fake_radii[columns]).any(1)
        return {"precision": precise.double().mean().item(), "recall": recalled.double().mean().item()}


class DensityCoverage(NeighbourMetric):
    """Density: the number of real balls that a generated sample is in, over k; coverage: the share of non-empty balls.

    Density is near 1 if the distributions are the same, and larger if generated samples crowd. The border isn't
    part of the ball, as in the authors' code. Naeem et al. 2020, arXiv 2002.09797, equations 4 and 5.
    """

    name = "density_coverage"
    columns = {"density": "max", "coverage": "max"}
    ranges = {"density": NON_NEGATIVE, "coverage": SHARE}

    def __init__(self, extractor: Extractor, neighbours: int = 5) -> None:
        super().__init__(extractor, neighbours)

    def compare(self, reals: Tensor, real_radii: Tensor, fakes: Tensor) -> dict[str, float]:
        inside = 0
        covered = torch.zeros(len(reals), dtype=torch.bool, device=reals.device)
        for rows, _, block in distance_blocks(reals, fakes):
            within = block < real_radii[rows, None]
            inside += int(within.sum())
            covered[rows] |= within.any(1)
        return {"density": inside / (self.neighbours * len(fakes)), "coverage": covered.double().mean().item()}


def radii(samples: Tensor, neighbours: int) -> Tensor:
    """Return the distances to the k-th nearest other sample: (N, F), N > k = `neighbours` -> (N,) float32."""
    parts = samples.split(BLOCK)
    nearest = [torch.full((len(part), neighbours + 1), math.inf, device=part.device) for part in parts]
    for i, j in combinations_with_replacement(range(len(parts)), 2):
        block = distances(parts[i], parts[j])
        for part, others in {j: block.T, i: block}.items():  # once if i == j
            nearest[part] = torch.cat([nearest[part], others], 1).topk(neighbours + 1, largest=False).values
    return torch.cat(nearest)[:, -1]  # the first is the sample itself


def distance_blocks(a: Tensor, b: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (rows of a, rows of b, their distances), block by block, for (N, F) and (M, F)."""
    for i in range(0, len(a), BLOCK):
        for j in range(0, len(b), BLOCK):
            rows, columns = slice(i, i + BLOCK), slice(j, j + BLOCK)
            yield rows, columns, distances(a[rows], b[columns])


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return |a - b| for all pairs of rows: (N, F) and (M, F) -> (N, M) float32.

    |a - b|^2 = |a|^2 + |b|^2 - 2 a b, around the mean of b and in float64: in float32 copies would look like
    neighbours, and ties like near misses. The remaining rounding is removed: small distances become 0, others
    float32, so that copies have distance 0 and equal distances compare as equal.
    """
    a, b = a.double(), b.double()
    centre = b.mean(0)
    a, b = a - centre, b - centre
    lengths = a.square().sum(1, keepdim=True) + b.square().sum(1)
    squares = lengths.addmm(a, b.T, alpha=-2)
    return squares.masked_fill_(squares < ROUNDING * lengths, 0).sqrt_().float()
