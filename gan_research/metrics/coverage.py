"""Metrics of the data's classes or modes: which are generated, and how evenly, by the largest logit."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Binomial

from gan_research.losses.divergences import kl
from gan_research.metrics.base import Metric, Split, Statistics
from gan_research.metrics.extractors.base import Extractor
from gan_research.utils.errors import UserError
from gan_research.utils.ranges import NON_NEGATIVE, SHARE


class ClassMetric(Metric):
    """Base class of metrics that count the samples in each of the data's classes."""

    statistics = ("counts",)
    needs_logits = True

    def check(self, num_samples: int) -> None:
        super().check(num_samples)
        if not self.extractor.knows_data_classes:
            raise UserError(
                f"metric '{self.name}' needs to know the data's own classes, which extractor '{self.extractor.name}' "
                "doesn't: leave the metric out, or choose such metrics as digits, mnist, stacked_mnist or modes"
            )

    def weights(self, counts: Tensor) -> Tensor:
        """Return each class's share of the data, (K,) float64, for counts (K,)."""
        weights = self.extractor.class_weights
        return torch.full_like(counts, 1 / len(counts), dtype=torch.float64) if weights is None else weights


class RarestClass(ClassMetric):
    """The smallest share of the samples that any class has.

    0: at least one class is missing; 1 / K, with K classes: all are equally frequent.
    """

    name = "rarest_class"
    columns = {"rarest_class": "max"}
    ranges = {"rarest_class": SHARE}

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.ranges = {"rarest_class": (0, 1 / max(1, extractor.num_classes))}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        return {"rarest_class": (generated["counts"].all.min().double() / generated["counts"].all.sum()).item()}


class ClassAccuracy(ClassMetric):
    """The share of samples that the extractor puts into the class that the generator got.

    With a classifier of the data it is the GAN-test of Shmelkov et al. 2018, "How good is my GAN?", section 3.
    """

    name = "class_accuracy"
    columns = {"class_accuracy": "max"}
    ranges = {"class_accuracy": SHARE}
    statistics = ("hits",)
    needs_labels = True

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        """Return the share. Raises a UserError if samples have no classes."""
        hits, count = generated["hits"].tolist()
        if not count:
            raise UserError(
                "metric 'class_accuracy' needs the classes of generated samples: choose a class-conditional generator, "
                "or leave the metric out"
            )
        return {"class_accuracy": hits / count}


class Modes(ClassMetric):
    """The number of modes (classes) with at least one sample of high quality. Lin et al. 2018, PacGAN, section 4.

    Perfect: the sum over modes of 1 - (1 - w q)^n, for weight w and a share q of high quality among n samples.
    """

    name = "modes"
    columns = {"modes": "max"}
    ranges = {"modes": NON_NEGATIVE}

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.ranges = {"modes": (0, extractor.num_classes)}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        counts = generated["counts"]
        missed = torch.log1p(-self.weights(counts.all) * self.extractor.perfect_quality) * counts.all.sum()
        return {"modes": float((counts.good > 0).sum()), "modes_perfect": -torch.expm1(missed).sum().item()}


class HighQuality(ClassMetric):
    """The share of samples within 3 standard deviations of the nearest mode. PacGAN, section 4."""

    name = "high_quality"
    columns = {"high_quality": "max"}
    ranges = {"high_quality": SHARE}

    def check(self, num_samples: int) -> None:
        super().check(num_samples)
        if self.extractor.min_logit is None:
            raise UserError(
                f"metric 'high_quality' needs modes of a known spread, and extractor '{self.extractor.name}' has none: "
                "leave the metric out, or choose metrics=modes"
            )

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        counts = generated["counts"]
        share = counts.good.sum().double() / counts.all.sum()
        return {"high_quality": share.item(), "high_quality_perfect": self.extractor.perfect_quality}


class LargestMode(ClassMetric):
    """The class with the most samples, by its number from 0 (the lowest of equals), and its share.

    It follows a run and doesn't rank generators. A plain GAN on a ring "rotates through the modes" if the number
    changes, and has "mass on a single mode" if the share is near 1. Metz et al. 2017, Unrolled GAN, figure 2.
    """

    name = "largest_mode"
    columns = {}
    labels = ("largest_mode",)

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        counts = generated["counts"].all
        largest = counts.max()
        number = (counts == largest).nonzero()[0]
        return {"largest_mode": float(number), "largest_share": (largest.double() / counts.sum()).item()}


class ReverseKL(ClassMetric):
    """KL(histogram of high-quality samples over their modes || weights of the modes), in nats. PacGAN, section 4.

    Samples of low quality are left out, as in the authors' code. If none has high quality, it is the largest
    possible KL, that of the rarest mode alone.
    """

    name = "reverse_kl"
    columns = {"reverse_kl": "min"}
    ranges = {"reverse_kl": NON_NEGATIVE}

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        weights = self.weights(torch.ones(max(1, extractor.num_classes)))
        self.ranges = {"reverse_kl": (0, -weights.min().log().item())}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        counts = generated["counts"]
        weights, good = self.weights(counts.all), int(counts.good.sum())
        divergence = kl(counts.good.double() / good, weights) if good else -weights.min().log()
        perfect = round(int(counts.all.sum()) * self.extractor.perfect_quality)
        return {"reverse_kl": divergence.item(), "reverse_kl_perfect": expected_kl(weights.cpu(), perfect)}


def expected_kl(weights: Tensor, n: int) -> float:
    """Return E KL(histogram of n draws from `weights` (K,) || `weights`), exactly.

    It is the sum over classes of E[c/n log(c / nw)] with c ~ Binomial(n, w), and about (K - 1) / 2n if n w is large.
    """
    c = torch.arange(1, n + 1, dtype=torch.float64)
    total = 0.0
    for w, classes in zip(*weights.double().unique(return_counts=True), strict=True):
        probability = Binomial(n, w).log_prob(c).exp()
        total += classes.item() * torch.xlogy(probability * c / n, c / (n * w)).sum().item()
    return total
