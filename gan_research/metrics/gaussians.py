"""Gaussians fitted to features, and the Fréchet distance between two of them."""

from functools import cached_property

import torch
from torch import Tensor

from gan_research.utils.errors import UserError

BLOCK = 4096
"""So many samples are held in float64 at a time."""


class Gaussian:
    """Mean (F,) and covariance (F, F) over N - 1, both float64, of `count` samples (None: not known)."""

    def __init__(self, mean: Tensor, covariance: Tensor, count: int | None = None) -> None:
        self.mean, self.covariance, self.count = mean.double(), covariance.double(), count

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """That of features (N, F); of fewer than 2 samples the covariance is nan."""
        count, width = features.shape
        covariance = torch.zeros(width, width, dtype=torch.float64, device=features.device)
        mean = covariance.new_zeros(width)
        for block in features.split(BLOCK):
            mean += block.double().sum(0) / count
        for block in features.split(BLOCK):
            x = block.double() - mean
            covariance.addmm_(x.T, x)
        return cls(mean, covariance / (count - 1), count)

    def to(self, device: torch.device) -> "Gaussian":
        """The same on another device, with the root where it is known."""
        moved = Gaussian(self.mean.to(device), self.covariance.to(device), self.count)
        if "root" in self.__dict__:
            moved.root = self.root.to(device)
        return moved

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance: computed once, as it costs more than a distance does."""
        self.require_finite()
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    @cached_property
    def rank(self) -> int:
        """The covariance's rank: less than the number of samples, or counted where that isn't known."""
        if self.count is None:
            return int(torch.linalg.matrix_rank(self.covariance, hermitian=True))
        return min(len(self.mean), self.count - 1)

    def require_finite(self) -> None:
        """Raise a UserError where mean or covariance isn't finite, as of a single sample."""
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            of = "features" if self.count is None else f"{self.count:,} sample{'s' * (self.count != 1)}"
            raise UserError(
                f"the mean or covariance of the {of} isn't finite: a Fréchet distance needs at least 2 samples on "
                "either side, with finite features"
            )


def frechet_distance(reference: Gaussian, other: Gaussian) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^1/2), where tr (C C')^1/2 = the sum of sqrt eig(R C' R), R R = C.

    Heusel et al. 2017, arXiv 1706.08500, equation 6. R C' R is symmetric: its eigenvalues are real, and those beyond
    the ranks of C and C' are 0 but for rounding, whose square root would be seen, so that they are left out.
    Raises a UserError where the two have different numbers of features, or either isn't finite.
    """
    if len(reference.mean) != len(other.mean):
        raise UserError(
            f"there is no Fréchet distance between {len(reference.mean)} features and {len(other.mean)}: take both "
            "from the same extractor"
        )
    other.require_finite()
    root = reference.root
    values = torch.linalg.eigvalsh(root @ other.covariance @ root)  # ascending
    values = values[len(values) - min(reference.rank, other.rank) :]
    shift = (reference.mean - other.mean).square().sum()
    traces = reference.covariance.trace() + other.covariance.trace()
    return (shift + traces - 2 * values.clamp(min=0).sqrt().sum()).clamp(min=0).item()
