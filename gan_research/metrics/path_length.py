"""Perceptual path length: how fast pictures change as their latents move."""

from collections.abc import Mapping

import numpy as np

from gan_research.metrics.base import Kept, Metric, Split
from gan_research.metrics.extractors import Extractor
from gan_research.utils.errors import UserError


class PathLength(Metric):
    """Mean of d(G(z0), G(z1)) / epsilon^2 over pairs of latents, a step epsilon apart; `ppl_std` is over the pairs.

    The pairs are `SampleSource.paths`: z1 is on the way from z0 to another latent. d is a squared distance, which the
    extractor has for its only feature. Of the pairs the shortest and the longest `discard` percent are left out; the
    percentiles themselves stay, as in the authors' code. Karras et al. 2019, arXiv 1812.04948, section 4.1.

    Float32 limits how small a step can be: pixels that are rounded by r each add about 2 (r / epsilon)^2 to their
    squared changes. Of a range of 1 that was 4e-8 in a DCGAN with epsilon = 1e-4: a per cent or more of the number
    only where pixels hardly change, by about 0.002, on the whole way.
    """

    name = "ppl"
    columns = {"ppl": "min"}
    wants = ("features",)
    takes = ("paths",)

    def __init__(self, extractor: Extractor, epsilon: float = 1e-4, discard: float = 1.0) -> None:
        super().__init__(extractor)
        if not 0 < epsilon <= 1:
            raise UserError(f"metric 'ppl' needs the setting epsilon of more than 0 and at most 1, not {epsilon}")
        if not 0 <= discard < 50:
            raise UserError(f"metric 'ppl' needs the setting discard of 0 to less than 50 percent, not {discard}")
        self.epsilon, self.discard = epsilon, discard

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        lengths = generated["features"].features.flatten().double().cpu().numpy() / self.epsilon**2
        low = np.percentile(lengths, self.discard, method="lower")
        high = np.percentile(lengths, 100 - self.discard, method="higher")
        kept = lengths[(low <= lengths) & (lengths <= high)]
        return {"ppl": kept.mean().item(), "ppl_std": kept.std().item()}
