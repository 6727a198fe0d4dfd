"""The kernel distance between features, without a bias at any number of samples."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gan_research.metrics.base import DRAWS, Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.utils.errors import UserError


class KID(Metric):
    """Squared MMD between the features of real and generated samples, unbiased, so that it may be less than 0.

    The mean over `subsets` random subsets of `subset_size` samples of both, and as kid_std the standard deviation over
    them: of the mean's error it says little. Subsets are those that torch-fidelity draws. Bińkowski et al. 2018,
    arXiv 1801.01401, equation 4 and section 4.
    """

    name = "kid"
    columns = {"kid": "min"}
    wants = ("features",)

    def __init__(self, extractor: Extractor, subsets: int = 100, subset_size: int = 1000) -> None:
        super().__init__(extractor)
        if subsets < 1 or subset_size < 2:
            raise UserError(
                "metric 'kid' needs settings subsets of at least 1 and subset_size of at least 2, not "
                f"{subsets} and {subset_size}"
            )
        self.subsets, self.subset_size = subsets, subset_size

    def check(self, num_samples: int) -> None:
        super().check(num_samples)
        self._require(num_samples, "num_samples")

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": None}}

    def min_real(self) -> int:
        return self.subset_size

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        fakes, reals = generated["features"].features, real["train"]["features"].features
        self._require(len(fakes), "num_samples")
        self._require(len(reals), "num_real")
        draws = np.random.RandomState(DRAWS)

        def subset(features: Tensor) -> Tensor:
            chosen = draws.choice(len(features), self.subset_size, replace=False)
            return features[torch.from_numpy(chosen).to(features.device)].double()

        found = [squared_mmd(subset(fakes), subset(reals)).item() for _ in range(self.subsets)]
        return {"kid": float(np.mean(found)), "kid_std": float(np.std(found))}

    def _require(self, count: int, what: str) -> None:
        if count < self.subset_size:
            raise UserError(
                f"metric 'kid' draws subsets of {self.subset_size:,} samples, and {what} is {count:,}: lower "
                f"metrics.settings.kid.subset_size, or raise {what}"
            )


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """The unbiased squared MMD between samples (m, F) and (m, F), where k(x, y) = (x.y / F + 1)^3.

    The mean of k over the pairs of two different samples within x, that within y, less twice that of all pairs across.
    """
    m, width = x.shape

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / width + 1) ** 3

    within = kernel(x, x).fill_diagonal_(0).sum() + kernel(y, y).fill_diagonal_(0).sum()
    return within / (m * (m - 1)) - 2 * kernel(x, y).mean()
