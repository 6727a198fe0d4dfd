"""The kernel inception distance."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from gan_research.metrics.base import METRIC_SEED, Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor


class KID(Metric):
    """The unbiased squared MMD between features of real and generated samples; it may be negative.

    The mean over `subsets` random subsets of `subset_size` samples of both, which torch-fidelity draws too, and as
    kid_std the standard deviation over them, which isn't the error of the mean. Bińkowski et al. 2018,
    arXiv 1801.01401, equation 4 and section 4.
    """

    name = "kid"
    columns = {"kid": "min"}
    statistics = ("features",)
    train_statistics = ("features",)

    def __init__(self, extractor: Extractor, subsets: int = 100, subset_size: int = 1000) -> None:
        super().__init__(extractor)
        self.subsets, self.subset_size = subsets, subset_size
        self.require_setting("subsets", subsets >= 1, "at least 1")
        self.require_setting("subset_size", subset_size >= 2, "at least 2")
        self.min_samples = self.min_real = subset_size

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        fakes, reals = self.features(generated, real)
        draws = np.random.RandomState(METRIC_SEED)

        def subset(features: Tensor) -> Tensor:
            chosen = draws.choice(len(features), self.subset_size, replace=False)
            return features[torch.from_numpy(chosen).to(features.device)].double()

        distances = [squared_mmd(subset(fakes), subset(reals)).item() for _ in range(self.subsets)]
        return {"kid": float(np.mean(distances)), "kid_std": float(np.std(distances))}


def squared_mmd(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased squared MMD of samples (m, F) and (m, F), where k(x, y) = (x.y / F + 1)^3.

    The mean of k over pairs of different samples within x, plus that within y, minus twice the mean over pairs across.
    """
    m, width = x.shape

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / width + 1) ** 3

    within = kernel(x, x).fill_diagonal_(0).sum() + kernel(y, y).fill_diagonal_(0).sum()
    return within / (m * (m - 1)) - 2 * kernel(x, y).mean()
