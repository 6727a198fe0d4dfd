"""Gaussians fitted to features, and the Fréchet distance between two of them."""

from functools import cached_property

import torch
from torch import Tensor

from gan_research.utils.errors import UserError

BLOCK = 4096  # the number of samples that are converted to float64 at a time


class Gaussian:
    """Mean (F,) and covariance (F, F) over N - 1, both float64, of `count` samples (None: unknown)."""

    def __init__(self, mean: Tensor, covariance: Tensor, count: int | None = None) -> None:
        self.mean, self.covariance, self.count = mean.double(), covariance.double(), count

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """Fit a Gaussian to features (N, F); the covariance of fewer than 2 samples is nan."""
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
        """Return it on another device, with its root if that is computed already."""
        moved = Gaussian(self.mean.to(device), self.covariance.to(device), self.count)
        if "root" in self.__dict__:
            moved.root = self.root.to(device)
        return moved

    @cached_property
    def root(self) -> Tensor:
        """The symmetric square root of the covariance, which costs more than a distance."""
        self.require_finite()
        values, vectors = torch.linalg.eigh(self.covariance)
        return (vectors * values.clamp(min=0).sqrt()) @ vectors.T

    @cached_property
    def rank(self) -> int:
        """The covariance's rank: from the number of samples, or computed if that is unknown."""
        if self.count is None:
            return int(torch.linalg.matrix_rank(self.covariance, hermitian=True))
        return min(len(self.mean), self.count - 1)

    def require_finite(self) -> None:
        """Raise a UserError if mean or covariance isn't finite, as for a single sample."""
        if not (self.mean.isfinite().all() and self.covariance.isfinite().all()):
            of = "features" if self.count is None else f"{self.count:,} sample{'s' * (self.count != 1)}"
            raise UserError(
                f"the mean or covariance of the {of} isn't finite: a Fréchet distance needs at least 2 samples on "
                "either side, with finite features"
            )


def frechet_distance(reference: Gaussian, other: Gaussian) -> float:
    """Return |m - m'|^2 + tr(C + C' - 2 (C C')^1/2). Heusel et al. 2017, arXiv 1706.08500, equation 6.

    tr (C C')^1/2 is the sum of sqrt eig(R C' R), where R R = C. R C' R is symmetric, so that its eigenvalues are real.
    Those beyond the ranks of C and C' would be 0 without rounding, whose square root isn't negligible: they are
    left out. Raises a UserError if the numbers of features differ, or either isn't finite.
    """
    if len(reference.mean) != len(other.mean):
        raise UserError(
            f"there is no Fréchet distance between {len(reference.mean)} features and {len(other.mean)}: use the same "
            "extractor for both"
        )
    other.require_finite()
    root = reference.root
    values = torch.linalg.eigvalsh(root @ other.covariance @ root)  # ascending
    values = values[len(values) - min(reference.rank, other.rank) :]
    shift = (reference.mean - other.mean).square().sum()
    traces = reference.covariance.trace() + other.covariance.trace()
    return (shift + traces - 2 * values.clamp(min=0).sqrt().sum()).clamp(min=0).item()
