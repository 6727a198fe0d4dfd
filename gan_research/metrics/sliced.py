"""The sliced Wasserstein distance: for points and small vectors, without a network."""

from typing import ClassVar

import torch
from torch import Tensor

from gan_research.metrics.scores import FeatureMetric, Split
from gan_research.streams import stream


class SlicedWasserstein(FeatureMetric):
    """W1 between generated and as many real samples, along a line, averaged over `projections` random directions.

    Along a line it is the mean distance of the sorted samples; in 1-D that is W1 itself. Perfect: two disjoint sets of
    the first real samples. Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing".
    """

    name = "sliced_wasserstein"
    best = "min"
    projections: ClassVar[int] = 128

    @classmethod
    def wants(cls, num_samples: int) -> dict[Split, int | None]:
        return {"train": 2 * num_samples}

    def compute(self) -> dict[str, float]:
        real, others = (self.slices(half) for half in torch.cat(self.real["train"]).chunk(2))
        generated = self.slices(torch.cat(self.generated))
        return {
            "sliced_wasserstein": (generated - real).abs().mean().item(),
            "sliced_wasserstein_perfect": (others - real).abs().mean().item(),
        }

    def slices(self, samples: Tensor) -> Tensor:
        """(N, F) -> (N, projections) float64: along each direction, sorted."""
        generator = stream(self.seed, "sliced wasserstein directions")
        directions = torch.randn(samples.shape[1], self.projections, generator=generator, dtype=torch.float64)
        directions /= directions.norm(dim=0)
        return (samples.double() @ directions.to(self.device)).sort(dim=0).values
