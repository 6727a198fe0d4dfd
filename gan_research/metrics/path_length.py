"""Perceptual path length: how fast images change as their latents move."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from gan_research.metrics.base import Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor
from gan_research.utils.ranges import NON_NEGATIVE


class PathLength(Metric):
    """Mean of d(x0, x1) / epsilon^2 over pairs of samples, a step epsilon apart; `ppl_std` is over the pairs.

    The pairs come from `SampleSource.paths`: x1 is a fraction epsilon further on the way between two latents than x0,
    with the same class and noise inside layers. d is a squared distance, the extractor's only feature. The shortest and
    the longest `discard` percent of the pairs are left out; the percentiles themselves stay, as in the authors' code.
    Karras et al. 2019, arXiv 1812.04948, section 4.1.

    space: "z", along the prior's interpolation, or "w", along lines, for generators with a mapping. sampling: x0 at a
    uniform position of the way ("full"), or at its start ("end"). StyleGAN2 (Karras et al. 2020) reports w with end.

    Float32 limits how small a step can be: pixels rounded by r each add about 2 (r / epsilon)^2 to their squared
    changes, which was 4e-8 in a DCGAN with a range of 1 and epsilon = 1e-4.
    """

    name = "ppl"
    columns = {"ppl": "min"}
    ranges = {"ppl": NON_NEGATIVE}
    statistics = ("features",)
    accepts = ("paths",)

    def __init__(
        self,
        extractor: Extractor,
        epsilon: float = 1e-4,
        discard: float = 1.0,
        space: Literal["z", "w"] = "z",
        sampling: Literal["full", "end"] = "end",
    ) -> None:
        super().__init__(extractor)
        self.epsilon, self.discard, self.space, self.sampling = epsilon, discard, space, sampling
        self.require_setting("epsilon", 0 < epsilon <= 1, "more than 0 and at most 1")
        self.require_setting("discard", 0 <= discard < 50, "0 to less than 50 percent")

    @property
    def step(self) -> dict[str, Any]:
        """The arguments of `SampleSource.paths`."""
        return {"epsilon": self.epsilon, "space": self.space, "sampling": self.sampling}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        lengths = generated["features"].features.flatten().double().cpu().numpy() / self.epsilon**2
        low = np.percentile(lengths, self.discard, method="lower")
        high = np.percentile(lengths, 100 - self.discard, method="higher")
        kept = lengths[(low <= lengths) & (lengths <= high)]
        return {"ppl": kept.mean().item(), "ppl_std": kept.std().item()}
