"""Statistics of samples, which several metrics share: running moments, features, logits, class counts.

Each is a torchmetrics metric, which is updated batch by batch and synced over processes. `compute` returns a plain
object: torchmetrics would squeeze the tensors in a container or dataclass.
"""

from typing import Any, ClassVar

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from gan_research.metrics.extractors.base import Extractor, Features
from gan_research.metrics.gaussians import Gaussian

STATISTICS: dict[str, type["Statistic"]] = {}


class Statistic(torchmetrics.Metric):
    """A statistic of samples. A subclass sets `key`, which adds it to `STATISTICS`.

    `update` adds the features of N samples, and their labels (N,) int64 if they have any. `compute` returns the
    statistic over all processes; the samples are in the order of the ranks.
    """

    key: ClassVar[str]
    lists: ClassVar[tuple[str, ...]] = ()  # the names of its states that are lists of batches
    full_state_update = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        STATISTICS[cls.key] = cls

    def __init__(self, extractor: Extractor) -> None:
        super().__init__()
        self._num_classes, self._min_logit = extractor.num_classes, extractor.min_logit
        for name in self.lists:
            self.add_state(name, [], dist_reduce_fx="cat")

    @staticmethod
    def pack(value: Any) -> dict[str, Tensor]:
        """Convert what `compute` returned to tensors, for a file."""
        raise NotImplementedError

    @staticmethod
    def unpack(tensors: dict[str, Tensor]) -> Any:
        """Invert `pack`."""
        raise NotImplementedError


class Moments(Statistic):
    """Count, mean and covariance of the features, from running sums in float64: a `Gaussian`."""

    key = "moments"
    count: Tensor
    total: Tensor
    outer: Tensor

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        for name in ("count", "total", "outer"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, batch: Features, labels: Tensor | None = None) -> None:
        x = batch.features.double()
        self.count = self.count + len(x)
        self.total = self.total + x.sum(0)
        self.outer = self.outer.addmm_(x.T, x) if self.outer.ndim else x.T @ x

    def compute(self) -> Gaussian:
        """Return the Gaussian; its covariance is nan for fewer than 2 samples."""
        mean = self.total / self.count
        covariance = (self.outer - self.count * mean.outer(mean)) / (self.count - 1)
        return Gaussian(mean, covariance, int(self.count))

    @staticmethod
    def pack(value: Gaussian) -> dict[str, Tensor]:
        count = torch.tensor(value.count or 0)
        return {"mean": value.mean, "covariance": value.covariance, "root": value.root, "count": count}

    @staticmethod
    def unpack(tensors: dict[str, Tensor]) -> Gaussian:
        value = Gaussian(tensors["mean"], tensors["covariance"], int(tensors["count"]) or None)
        value.root = tensors["root"]
        return value


class Rows:
    """Features (N, F) float32 in the order of the samples; labels (N,) int64, or None if there are none."""

    def __init__(self, features: Tensor, labels: Tensor | None = None) -> None:
        self.features, self.labels = features, labels

    def to(self, device: torch.device) -> "Rows":
        """Return them on another device."""
        return Rows(self.features.to(device), None if self.labels is None else self.labels.to(device))

    def take(self, rows: Tensor) -> "Rows":
        """Return the samples at indices (n,)."""
        return Rows(self.features[rows], None if self.labels is None else self.labels[rows])


class FeatureRows(Statistic):
    """The features of every sample: `Rows`."""

    key = "features"
    lists = ("features", "labels")
    features: list[Tensor]
    labels: list[Tensor]

    def update(self, batch: Features, labels: Tensor | None = None) -> None:
        self.features.append(batch.features)
        unknown = torch.full((len(batch.features),), -1, device=batch.features.device)
        self.labels.append(unknown if labels is None else labels.to(unknown))

    def compute(self) -> Rows:
        labels = dim_zero_cat(self.labels)
        return Rows(dim_zero_cat(self.features), labels if bool((labels >= 0).all()) else None)

    @staticmethod
    def pack(value: Rows) -> dict[str, Tensor]:
        return {"features": value.features} | ({} if value.labels is None else {"labels": value.labels})

    @staticmethod
    def unpack(tensors: dict[str, Tensor]) -> Rows:
        return Rows(tensors["features"], tensors.get("labels"))


class LogitRows(Statistic):
    """The logits of every sample: (N, K) float32."""

    key = "logits"
    lists = ("logits",)
    logits: list[Tensor]

    def update(self, batch: Features, labels: Tensor | None = None) -> None:
        assert batch.logits is not None
        self.logits.append(batch.logits)

    def compute(self) -> Tensor:
        return dim_zero_cat(self.logits)


class LabelHits(Statistic):
    """The number of samples with their largest logit at their label, and of labelled ones.

    (2,) int64.
    """

    key = "hits"
    hits: Tensor

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        self.add_state("hits", torch.zeros(2, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, batch: Features, labels: Tensor | None = None) -> None:
        assert batch.logits is not None
        if labels is not None:
            right = batch.logits.argmax(1) == labels.to(batch.logits.device)
            self.hits = self.hits + torch.stack([right.sum(), right.new_tensor(len(right), dtype=torch.int64)])

    def compute(self) -> Tensor:
        return self.hits


class Counts:
    """The number of samples in each class, (K,) int64, and of those of high quality."""

    def __init__(self, all: Tensor, good: Tensor) -> None:
        self.all, self.good = all, good


class ClassCounts(Statistic):
    """The number of samples with their largest logit in each class: `Counts`."""

    key = "counts"
    all: Tensor
    good: Tensor

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(extractor)
        for name in ("all", "good"):
            self.add_state(name, torch.zeros(self._num_classes, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, batch: Features, labels: Tensor | None = None) -> None:
        assert batch.logits is not None
        logits, classes = batch.logits.max(1)
        good = classes if self._min_logit is None else classes[logits >= self._min_logit]
        self.all = self.all + torch.bincount(classes, minlength=self._num_classes)
        self.good = self.good + torch.bincount(good, minlength=self._num_classes)

    def compute(self) -> Counts:
        return Counts(self.all, self.good)
