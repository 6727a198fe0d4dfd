"""The sliced Wasserstein distance, for points and small vectors."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_research.metrics.base import METRIC_SEED, Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor
from gan_research.utils.ranges import NON_NEGATIVE
from gan_research.utils.rng import generator_for


class SlicedWasserstein(Metric):
    """W1 between generated and real samples along a line, averaged over `projections` random directions.

    There are as many real samples as generated ones. Along a line it is the mean distance of the sorted samples; in 1-D
    that is W1 itself. Perfect: two disjoint sets of real samples. Rabin et al. 2011, "Wasserstein barycenter and its
    application to texture mixing".
    """

    name = "sliced_wasserstein"
    columns = {"sliced_wasserstein": "min"}
    ranges = {"sliced_wasserstein": NON_NEGATIVE}
    statistics = ("features",)

    def __init__(self, extractor: Extractor, projections: int = 128) -> None:
        super().__init__(extractor)
        self.projections = projections
        self.require_setting("projections", projections >= 1, "at least 1")

    def real_statistics(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": 2 * num_samples}}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        fakes, reals = self.features(generated, real)
        half, others = (self.slices(part) for part in reals.chunk(2))
        return {
            "sliced_wasserstein": (self.slices(fakes) - half).abs().mean().item(),
            "sliced_wasserstein_perfect": (others - half).abs().mean().item(),
        }

    def slices(self, samples: Tensor) -> Tensor:
        """Project (N, F) on each direction and sort: (N, projections) float64."""
        generator = generator_for(METRIC_SEED, "sliced wasserstein directions")
        directions = torch.randn(samples.shape[1], self.projections, generator=generator, dtype=torch.float64)
        directions /= directions.norm(dim=0)
        return (samples.double() @ directions.to(samples.device)).sort(dim=0).values
