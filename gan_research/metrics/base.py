"""The base class of metrics: a metric computes numbers from statistics of generated and of real samples."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torchmetrics
from torch import Tensor, nn

from gan_research.distributed import raise_on_all_ranks
from gan_research.metrics.extractors.base import Extractor
from gan_research.metrics.statistics import STATISTICS, Statistic
from gan_research.utils.errors import UserError
from gan_research.utils.ranges import Range

METRICS: dict[str, type["Metric"]] = {}

Split = Literal["train", "heldout"]
Direction = Literal["min", "max"]
Statistics = Mapping[str, Any]  # computed statistics by their keys

METRIC_SEED = 2020  # the seed of subsets, shuffles and directions, as in torch-fidelity


class Metric(torchmetrics.Metric):
    """A metric of generated samples, which may compare their features with real ones.

    A subclass sets `name`, which adds it to `METRICS`, declares the statistics that it needs, and computes its
    `value` from them. The keyword arguments of its constructor are its settings, which are part of the protocol.
    An `Evaluation` computes the statistics of several metrics in one feature pass. Alone it is a torchmetrics metric:

        fid = FID(Inception())
        fid.update(reals, of="train"), fid.update(fakes)
        fid.compute()  # {"fid": ...}
    """

    name: ClassVar[str]
    columns: dict[str, Direction]
    """The columns that rank generators, the main one first, and the better direction of each."""
    ranges: Mapping[str, Range] = {}
    """The least and largest values of these columns, for intervals that stay within; others are unbounded."""
    labels: ClassVar[tuple[str, ...]] = ()  # the columns that are the number of a class, which are not averaged
    statistics: ClassVar[tuple[str, ...]]  # the statistics of generated samples that it needs, by their keys
    train_statistics: ClassVar[tuple[str, ...]] = ()  # the statistics that it needs of the whole training set
    needs_logits: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False  # of both real and generated samples
    accepts: ClassVar[tuple[str, ...]] = ("images", "points")  # the kinds of samples that it can compare
    min_samples: int = 1
    min_real: int = 2  # of each split
    full_state_update = False
    extractor: Extractor

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in cls.__dict__:  # else it is a base class of several metrics
            METRICS[cls.name] = cls

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(sync_on_compute=False)  # its statistics are synced
        self.extractor = extractor
        self._own: Any = nn.ModuleDict()

    @classmethod
    def setting_names(cls) -> list[str]:
        """Return the names of its settings: the arguments and attributes after the extractor."""
        return list(inspect.signature(cls.__init__).parameters)[2:]

    @property
    def measured(self) -> list[str]:
        """The columns that rank generators, or else the name of the metric."""
        return [*self.columns] or [self.name]

    @property
    def settings(self) -> dict[str, Any]:
        """The values of its settings, for the protocol."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def require_setting(self, name: str, valid: bool, range: str) -> None:
        """Raise a UserError unless the setting is valid."""
        if not valid:
            raise UserError(f"metric '{self.name}' needs the setting {name} of {range}, not {getattr(self, name)}")

    def check(self, num_samples: int) -> None:
        """Raise a UserError if it can't be computed with its extractor from `num_samples` generated samples."""
        extractor = self.extractor
        if not set(self.accepts) & set(extractor.accepts):
            raise UserError(f"metric '{self.name}' can't use extractor '{extractor.name}': choose another one")
        if self.needs_logits and not extractor.num_classes:
            raise UserError(
                f"metric '{self.name}' needs logits, and extractor '{extractor.name}' has none: leave the metric out, "
                "or choose an extractor with classes (a classifier; Inception with feature=2048)"
            )
        if num_samples < self.min_samples:
            raise self._too_few("num_samples", self.min_samples, num_samples)

    def real_statistics(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        """Return split -> statistic -> how many real samples it needs, drawn at random; None: all."""
        return {"train": dict.fromkeys(self.train_statistics)} if self.train_statistics else {}

    def value(self, generated: Statistics, real: Mapping[Split, Statistics]) -> dict[str, float]:
        """Return its columns; NAME_perfect is the value that perfect samples would have."""
        raise NotImplementedError

    def features(self, generated: Statistics, real: Mapping[Split, Statistics]) -> tuple[Tensor, Tensor]:
        """Return the features of generated and of training samples. Raises a UserError if there are too few."""
        fakes, reals = generated["features"].features, real["train"]["features"].features
        if len(fakes) < self.min_samples:
            raise self._too_few("num_samples", self.min_samples, len(fakes))
        if len(reals) < self.min_real:
            raise self._too_few("num_real", self.min_real, len(reals))
        count = self.real_statistics(len(fakes))["train"]["features"]
        if count not in (None, len(reals)):
            raise UserError(
                f"metric '{self.name}' needs {count:,} real samples, drawn at random, for {len(fakes):,} generated "
                f"ones, not {len(reals):,}"
            )
        return fakes, reals

    def _too_few(self, option: str, least: int, count: int) -> UserError:
        settings = ", ".join(f"{name}={value}" for name, value in self.settings.items())
        change = f": raise it, or change metrics.settings.{self.name} ({settings})" if settings else ""
        return UserError(f"metric '{self.name}' needs {option} of at least {least}, not {count}{change}")

    # Alone, as a torchmetrics metric

    def update(
        self, samples: Tensor, of: Literal["generated", "train", "heldout"] = "generated", labels: Tensor | None = None
    ) -> None:
        """Add a batch of samples that the extractor accepts: generated ones, or real ones of a split.

        labels: int64 (N,). Raises a UserError if the metric needs no such samples, or their labels don't fit.
        """
        if of not in (needed := self._needed()):
            raise UserError(f"metric '{self.name}' uses no samples of={of!r}: give of=... of {', '.join(needed)}")
        features = self.extractor(samples)
        if labels is not None and labels.shape != (len(samples),):
            raise UserError(
                f"{len(samples)} samples and labels of shape {tuple(labels.shape)}: give one class for each"
            )
        for key in needed[of]:
            self._statistic(of, key).update(features, labels)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """Update; a single batch has no value."""
        self.update(*args, **kwargs)

    def compute(self) -> dict[str, float]:
        """Return its columns over the samples of all processes since the last reset.

        Raises a UserError if samples that it needs are missing.
        """
        needed = self._needed()
        with raise_on_all_ranks():
            if missing := [of for of, keys in needed.items() if any(f"{of} {key}" not in self._own for key in keys)]:
                call = f"update(samples, of='{missing[0]}')"
                raise UserError(f"metric '{self.name}' has no {missing[0]} samples: call {call} before compute()")
        values = {of: {key: self._statistic(of, key).compute() for key in keys} for of, keys in needed.items()}
        return self.value(values.pop("generated"), values)  # type: ignore[arg-type]

    def reset(self) -> None:
        """Forget the generated samples; the real ones are kept."""
        super().reset()
        for name in [name for name in self._own if name.startswith("generated ")]:
            del self._own[name]

    def _needed(self) -> dict[str, list[str]]:
        """Return generated or a split -> the statistics that it needs of such samples."""
        real: dict[str, list[str]] = {split: list(keys) for split, keys in self.real_statistics(1).items()}
        return {"generated": list(self.statistics)} | real

    def _statistic(self, of: str, key: str) -> Statistic:
        name = f"{of} {key}"
        if name not in self._own:
            self._own[name] = STATISTICS[key](self.extractor).to(self.extractor.device)
        return self._own[name]
