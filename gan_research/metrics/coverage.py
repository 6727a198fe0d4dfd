"""Which of the data's classes or modes are generated, and how evenly: counts by the largest logit."""

import torch
from torch import Tensor
from torch.distributions import Binomial

from gan_research.divergences import kl
from gan_research.errors import UserError
from gan_research.metrics.extractors import Extractor, Features
from gan_research.metrics.scores import Metric


class ClassMetric(Metric):
    """What the metrics here share: how many samples fall into each class, and how many of high quality."""

    needs_logits = True

    def __init__(self, extractor: Extractor, seed: int, device: torch.device) -> None:
        super().__init__(extractor, seed, device)
        self.reset()

    @classmethod
    def check(cls, extractor: Extractor, num_samples: int) -> None:
        super().check(extractor, num_samples)
        if not extractor.knows_data_classes:
            raise UserError(
                f"metric '{cls.name}' needs to know the data's own classes, which extractor '{extractor.name}' "
                "doesn't: leave the metric out, or choose such metrics as digits, mnist, stacked_mnist or modes"
            )

    def reset(self) -> None:
        self.counts = torch.zeros(self.extractor.num_classes, dtype=torch.int64, device=self.device)
        self.good_counts = torch.zeros_like(self.counts)

    def update(self, seen: Features) -> None:
        assert seen.logits is not None
        logits, classes = seen.logits.max(1)
        self.counts += torch.bincount(classes, minlength=len(self.counts))
        least = self.extractor.min_logit
        good = classes if least is None else classes[logits >= least]
        self.good_counts += torch.bincount(good, minlength=len(self.counts))

    @property
    def num_samples(self) -> int:
        """How many samples it has seen."""
        return int(self.counts.sum())

    @property
    def weights(self) -> Tensor:
        """The share of the data that each class has: (K,) float64."""
        given = self.extractor.class_weights
        return torch.full_like(self.counts, 1 / len(self.counts), dtype=torch.float64) if given is None else given


class RarestClass(ClassMetric):
    """The smallest share that any class of the data has among the samples.

    0: at least one class is missing altogether; 1 / K, with K classes: all are equally frequent.
    """

    name = "rarest_class"
    best = "max"

    def compute(self) -> dict[str, float]:
        return {"rarest_class": (self.counts.min().double() / self.counts.sum()).item()}


class Modes(ClassMetric):
    """How many modes (classes) have at least one sample of high quality. Lin et al. 2018, PacGAN, section 4.

    Perfect: the sum over modes of 1 - (1 - w q)^n, of weight w, where the share q of n samples is of high quality.
    """

    name = "modes"
    best = "max"

    def compute(self) -> dict[str, float]:
        missed = torch.log1p(-self.weights * self.extractor.perfect_quality) * self.num_samples
        return {"modes": float((self.good_counts > 0).sum()), "modes_perfect": -torch.expm1(missed).sum().item()}


class HighQuality(ClassMetric):
    """The share of samples of high quality: within 3 standard deviations of the nearest mode. PacGAN, section 4."""

    name = "high_quality"
    best = "max"

    @classmethod
    def check(cls, extractor: Extractor, num_samples: int) -> None:
        super().check(extractor, num_samples)
        if extractor.min_logit is None:
            raise UserError(
                f"metric 'high_quality' needs modes of a known spread, and extractor '{extractor.name}' has none: "
                "leave the metric out, or choose metrics=modes"
            )

    def compute(self) -> dict[str, float]:
        share = self.good_counts.sum().double() / self.counts.sum()
        return {"high_quality": share.item(), "high_quality_perfect": self.extractor.perfect_quality}


class ReverseKL(ClassMetric):
    """KL(histogram of the high-quality samples over their modes || the modes' weights), in nats. PacGAN, section 4.

    Samples of low quality are left out, as in the authors' code. Where none is of high quality: the largest KL there
    is, that of the rarest mode alone.
    """

    name = "reverse_kl"
    best = "min"

    def compute(self) -> dict[str, float]:
        good = int(self.good_counts.sum())
        share = self.good_counts.double() / good
        found = kl(share, self.weights) if good else -self.weights.min().log()
        perfect = round(self.num_samples * self.extractor.perfect_quality)
        return {"reverse_kl": found.item(), "reverse_kl_perfect": expected_kl(self.weights.cpu(), perfect)}


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
