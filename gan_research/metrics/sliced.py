"""The sliced Wasserstein distance: for points and small vectors, without a network."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_research.metrics.base import DRAWS, Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for


class SlicedWasserstein(Metric):
    """W1 between generated and as many real samples, along a line, averaged over `projections` random directions.

    Along a line it is the mean distance of the sorted samples; in 1-D that is W1 itself. Perfect: two disjoint sets of
    real samples. Rabin et al. 2011, "Wasserstein barycenter and its application to texture mixing".
    """

    name = "sliced_wasserstein"
    columns = {"sliced_wasserstein": "min"}
    wants = ("features",)

    def __init__(self, extractor: Extractor, projections: int = 128) -> None:
        super().__init__(extractor)
        if projections < 1:
            raise UserError(f"metric '{self.name}' needs the setting projections of at least 1, not {projections}")
        self.projections = projections

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        return {"train": {"features": 2 * num_samples}}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        fakes, reals = generated["features"].features, real["train"]["features"].features
        if len(reals) != 2 * len(fakes):
            raise UserError(
                f"metric '{self.name}' needs {2 * len(fakes):,} real samples, drawn at random, for {len(fakes):,} "
                f"generated ones, not {len(reals):,}"
            )
        half, others = (self.slices(part) for part in reals.chunk(2))
        found = self.slices(fakes)
        return {
            "sliced_wasserstein": (found - half).abs().mean().item(),
            "sliced_wasserstein_perfect": (others - half).abs().mean().item(),
        }

    def slices(self, samples: Tensor) -> Tensor:
        """(N, F) -> (N, projections) float64: along each direction, sorted."""
        generator = generator_for(DRAWS, "sliced wasserstein directions")
        directions = torch.randn(samples.shape[1], self.projections, generator=generator, dtype=torch.float64)
        directions /= directions.norm(dim=0)
        return (samples.double() @ directions.to(samples.device)).sort(dim=0).values
