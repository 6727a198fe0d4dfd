"""What a metric is, one small class over the features of one shared pass; the Fréchet distance; the inception score."""

import warnings
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as TorchInceptionScore

from gan_research.errors import UserError
from gan_research.metrics.extractors import Extractor, Features
from gan_research.streams import stream_seed

METRICS: dict[str, type["Metric"]] = {}

Split = Literal["train", "heldout"]


class Metric:
    """One metric over the features of `num_samples` generated samples, perhaps against those of real ones.

    A subclass names itself, and is from then on in `METRICS`. Its `compute` returns Python floats by column name; the
    column NAME_perfect is what a perfect generator would score with so many samples.
    """

    name: ClassVar[str]
    best: ClassVar[Literal["min", "max"]]
    """Which of two values is the better one."""
    needs_logits: ClassVar[bool] = False
    min_samples: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        if hasattr(cls, "name"):  # else it is what several metrics share
            METRICS[cls.name] = cls

    def __init__(self, extractor: Extractor, seed: int, device: torch.device) -> None:
        self.extractor, self.seed, self.device = extractor, seed, device

    @classmethod
    def check(cls, extractor: Extractor, num_samples: int) -> None:
        """Raise a UserError where this metric can't be had from this extractor with so many generated samples."""
        if cls.needs_logits and not extractor.num_classes:
            raise UserError(
                f"metric '{cls.name}' needs logits, and extractor '{extractor.name}' has none: leave the metric out, "
                "or choose an extractor with classes (a classifier; Inception with feature=2048)"
            )
        if num_samples < cls.min_samples:
            raise UserError(f"metric '{cls.name}' needs num_samples of at least {cls.min_samples}, not {num_samples}")

    @classmethod
    def wants(cls, num_samples: int) -> dict[Split, int | None]:
        """The real samples that it compares with: the first so many of a split; None: all of them."""
        return {}

    def update_real(self, seen: Features, split: Split) -> None:
        """Take in what the extractor saw in a batch of the real samples that it wants."""

    def reset(self) -> None:
        """Forget the generated samples; what is known of the real ones stays."""
        raise NotImplementedError

    def update(self, seen: Features) -> None:
        """Take in what the extractor saw in a batch of generated samples."""
        raise NotImplementedError

    def compute(self) -> dict[str, float]:
        """The metric over all generated samples since the last reset."""
        raise NotImplementedError


class FeatureMetric(Metric):
    """A metric that keeps the features of all samples until it is computed."""

    def __init__(self, extractor: Extractor, seed: int, device: torch.device) -> None:
        super().__init__(extractor, seed, device)
        self.real: dict[Split, list[Tensor]] = {"train": [], "heldout": []}
        self.reset()

    def update_real(self, seen: Features, split: Split) -> None:
        self.real[split].append(seen.features)

    def reset(self) -> None:
        self.generated: list[Tensor] = []

    def update(self, seen: Features) -> None:
        self.generated.append(seen.features)


class _AsIs(nn.Module):
    """Stands for the extractor inside a torchmetrics metric, which is given features instead of pictures."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


class FID(Metric):
    """Fréchet distance |m - m'|² + tr(C + C' - 2 (C C')^1/2) between Gaussians fitted to features, in float64.

    Covariances are over N - 1. Heusel et al. 2017, arXiv 1706.08500, equation 6.
    """

    name = "fid"
    best = "min"
    min_samples = 2

    metric: FrechetInceptionDistance | None = None

    @classmethod
    def wants(cls, num_samples: int) -> dict[Split, int | None]:
        return {"train": None}

    def update_real(self, seen: Features, split: Split) -> None:
        if self.metric is None:  # now the number of features is known
            feature = _AsIs(seen.features.shape[1])
            # Not synced: an evaluation is whole in the process that asks for it.
            self.metric = FrechetInceptionDistance(feature, reset_real_features=False, sync_on_compute=False)
            self.metric.to(self.device)
        self.metric.update(seen.features.double(), real=True)

    def reset(self) -> None:
        assert self.metric is not None
        self.metric.reset()

    def update(self, seen: Features) -> None:
        assert self.metric is not None
        self.metric.update(seen.features.double(), real=False)

    def compute(self) -> dict[str, float]:
        assert self.metric is not None
        return {"fid": self.metric.compute().item()}


class InceptionScore(Metric):
    """exp E_x KL(p(y|x) || p(y)) from the extractor's classes: mean and standard deviation over 10 splits, in float64.

    The standard deviation is over N - 1 = 9, as torchmetrics has it. Salimans et al. 2016, arXiv 1606.03498, section 4.
    """

    name = "is"
    best = "max"
    needs_logits = True
    min_samples = 100  # from 82 on, splitting always gives 10 splits; of one picture a split would score 1

    def __init__(self, extractor: Extractor, seed: int, device: torch.device) -> None:
        super().__init__(extractor, seed, device)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*will save all extracted features in buffer.*")
            feature = _AsIs(extractor.num_classes)
            self.metric = TorchInceptionScore(feature, splits=10, sync_on_compute=False).to(device)

    def reset(self) -> None:
        self.metric.reset()

    def update(self, seen: Features) -> None:
        assert seen.logits is not None
        self.metric.update(seen.logits.double())

    def compute(self) -> dict[str, float]:
        with torch.random.fork_rng(devices=[]):  # torchmetrics shuffles by the CPU's global generator
            torch.default_generator.manual_seed(stream_seed(self.seed, "inception score splits"))
            mean, std = self.metric.compute()
        return {"is": mean.item(), "is_std": std.item()}
