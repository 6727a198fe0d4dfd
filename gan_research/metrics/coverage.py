"""Which of the data's classes or modes are generated, and how evenly: counts by the largest logit."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Binomial

from gan_research.losses.divergences import kl
from gan_research.metrics.base import Kept, Metric, Split
from gan_research.utils.errors import UserError


class ClassMetric(Metric):
    """What the metrics here share: they compare how many samples fall into each of the data's own classes."""

    wants = ("counts",)
    needs_logits = True

    def check(self, num_samples: int) -> None:
        super().check(num_samples)
        if not self.extractor.knows_data_classes:
            raise UserError(
                f"metric '{self.name}' needs to know the data's own classes, which extractor '{self.extractor.name}' "
                "doesn't: leave the metric out, or choose such metrics as digits, mnist, stacked_mnist or modes"
            )

    def weights(self, counts: Tensor) -> Tensor:
        """The share of the data that each class has: (K,) float64, beside `counts` (K,)."""
        given = self.extractor.class_weights
        return torch.full_like(counts, 1 / len(counts), dtype=torch.float64) if given is None else given


class RarestClass(ClassMetric):
    """The smallest share that any class of the data has among the samples.

    0: at least one class is missing altogether; 1 / K, with K classes: all are equally frequent.
    """

    name = "rarest_class"
    columns = {"rarest_class": "max"}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        return {"rarest_class": (generated["counts"].all.min().double() / generated["counts"].all.sum()).item()}


class Modes(ClassMetric):
    """How many modes (classes) have at least one sample of high quality. Lin et al. 2018, PacGAN, section 4.

    Perfect: the sum over modes of 1 - (1 - w q)^n, of weight w, where the share q of n samples is of high quality.
    """

    name = "modes"
    columns = {"modes": "max"}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        counts = generated["counts"]
        missed = torch.log1p(-self.weights(counts.all) * self.extractor.perfect_quality) * counts.all.sum()
        return {"modes": float((counts.good > 0).sum()), "modes_perfect": -torch.expm1(missed).sum().item()}


class HighQuality(ClassMetric):
    """The share of samples of high quality: within 3 standard deviations of the nearest mode. PacGAN, section 4."""

    name = "high_quality"
    columns = {"high_quality": "max"}

    def check(self, num_samples: int) -> None:
        super().check(num_samples)
        if self.extractor.min_logit is None:
            raise UserError(
                f"metric 'high_quality' needs modes of a known spread, and extractor '{self.extractor.name}' has none: "
                "leave the metric out, or choose metrics=modes"
            )

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        counts = generated["counts"]
        share = counts.good.sum().double() / counts.all.sum()
        return {"high_quality": share.item(), "high_quality_perfect": self.extractor.perfect_quality}


class LargestMode(ClassMetric):
    """The class that holds the most samples, good or not: its number from 0, the lowest of equals; and its share.

    For following a training: it doesn't rank generators. A plain GAN on a ring "rotates through the modes" where the
    number changes, and has "mass on a single mode" where the share is near 1. Metz et al. 2017, Unrolled GAN, figure 2.
    """

    name = "largest_mode"
    columns = {}
    labels = ("largest_mode",)

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        counts = generated["counts"].all
        largest = counts.max()
        place = (counts == largest).nonzero()[0]
        return {"largest_mode": float(place), "largest_share": (largest.double() / counts.sum()).item()}


class ReverseKL(ClassMetric):
    """KL(histogram of the high-quality samples over their modes || the modes' weights), in nats. PacGAN, section 4.

    Samples of low quality are left out, as in the authors' code. Where none is of high quality: the largest KL there
    is, that of the rarest mode alone.
    """

    name = "reverse_kl"
    columns = {"reverse_kl": "min"}

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        counts = generated["counts"]
        weights, good = self.weights(counts.all), int(counts.good.sum())
        found = kl(counts.good.double() / good, weights) if good else -weights.min().log()
        perfect = round(int(counts.all.sum()) * self.extractor.perfect_quality)
        return {"reverse_kl": found.item(), "reverse_kl_perfect": expected_kl(weights.cpu(), perfect)}


def expected_kl(weights: Tensor, n: int) -> float:
    """E KL(histogram of n draws from `weights` (K,) || `weights`), exactly; about (K - 1) / 2n where n w is large.

    The sum over classes of E[c/n log(c / nw)], where c ~ Binomial(n, w).
    """
    c = torch.arange(1, n + 1, dtype=torch.float64)
    total = 0.0
    for w, classes in zip(*weights.double().unique(return_counts=True), strict=True):
        probability = Binomial(n, w).log_prob(c).exp()
        total += classes.item() * torch.xlogy(probability * c / n, c / (n * w)).sum().item()
    return total
