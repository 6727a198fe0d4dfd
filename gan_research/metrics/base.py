"""What a metric is: a number of what was kept of generated samples, and perhaps of real ones."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torchmetrics
from torch import Tensor, nn

from gan_research.metrics.extractors import Extractor
from gan_research.metrics.statistics import STATISTICS, Statistic
from gan_research.utils.errors import UserError

METRICS: dict[str, type["Metric"]] = {}

Split = Literal["train", "heldout"]
Direction = Literal["min", "max"]
Kept = Mapping[str, Any]
"""What statistics came to, by their keys."""

DRAWS = 2020
"""The seed of all that a metric draws (subsets, shuffles, directions): torch-fidelity's, so that the numbers meet."""


class Metric(torchmetrics.Metric):
    """One metric over the features of generated samples, perhaps against those of real ones.

    A subclass names itself, and is from then on in `METRICS`; it says which statistics it wants of generated and of
    real samples, and computes its `value` from them. Its constructor's keyword arguments are its settings, which the
    protocol holds. An `Evaluation` lets its metrics share statistics and the feature pass. Alone it is a torchmetrics
    metric like any other:

        fid = FID(Inception())
        fid.update(reals, of="train"), fid.update(fakes)
        fid.compute()  # {"fid": ...}
    """

    name: ClassVar[str]
    columns: dict[str, Direction]
    """The columns by which samples can be ranked, the first the main one; and which of two values is the better."""
    labels: ClassVar[tuple[str, ...]] = ()
    """The columns that name a class by its number: no mean is taken of them."""
    wants: ClassVar[tuple[str, ...]]
    """The statistics of generated samples, by their keys."""
    needs_logits: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = False
    """Of real and of generated samples."""
    takes: ClassVar[tuple[str, ...]] = ("pictures", "points")
    """The kinds of samples whose features it can compare."""
    min_samples: int = 1
    full_state_update = False
    extractor: Extractor

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in cls.__dict__:  # else it is what several metrics share
            METRICS[cls.name] = cls

    def __init__(self, extractor: Extractor) -> None:
        super().__init__(sync_on_compute=False)  # its statistics are synced
        self.extractor = extractor
        self._own = nn.ModuleDict()

    @classmethod
    def setting_names(cls) -> list[str]:
        """What can be set of it: its constructor's arguments after the extractor, kept under their names."""
        return list(inspect.signature(cls.__init__).parameters)[2:]

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings, for the protocol."""
        return {name: getattr(self, name) for name in self.setting_names()}

    def check(self, num_samples: int) -> None:
        """Raise a UserError where this metric can't be had from its extractor with so many generated samples."""
        extractor = self.extractor
        if not set(self.takes) & set(extractor.takes):
            raise UserError(f"metric '{self.name}' can't be had from extractor '{extractor.name}': choose another one")
        if self.needs_logits and not extractor.num_classes:
            raise UserError(
                f"metric '{self.name}' needs logits, and extractor '{extractor.name}' has none: leave the metric out, "
                "or choose an extractor with classes (a classifier; Inception with feature=2048)"
            )
        if num_samples < self.min_samples:
            raise UserError(f"metric '{self.name}' needs num_samples of at least {self.min_samples}, not {num_samples}")

    def wants_real(self, num_samples: int) -> dict[Split, dict[str, int | None]]:
        """The statistics of real samples: of which split, and of how many of them, drawn at random; None: all."""
        return {}

    def min_real(self) -> int:
        """How many real samples of each split it needs at least, where it wants all."""
        return 2

    def value(self, generated: Kept, real: Mapping[Split, Kept]) -> dict[str, float]:
        """Its columns, from the statistics that it wants; NAME_perfect is what perfect samples would score."""
        raise NotImplementedError

    # Alone, as a torchmetrics metric

    def update(
        self, samples: Tensor, of: Literal["generated", "train", "heldout"] = "generated", labels: Tensor | None = None
    ) -> None:
        """Take in a batch of samples, as the extractor takes them: generated ones, or real ones of a split."""
        keys = self.wants if of == "generated" else self.wants_real(1).get(of, {})
        seen = self.extractor(samples)
        for key in keys:
            self._statistic(of, key).update(seen, labels)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        """As `update`: there is no value of a single batch."""
        self.update(*args, **kwargs)

    def compute(self) -> dict[str, float]:
        """Its columns over all processes' samples since the last reset; real samples are never forgotten."""
        generated = {key: self._statistic("generated", key).compute() for key in self.wants}
        real = {
            split: {key: self._statistic(split, key).compute() for key in keys}
            for split, keys in self.wants_real(1).items()
        }
        return self.value(generated, real)

    def reset(self) -> None:
        super().reset()
        for name, statistic in self._own.items():
            if isinstance(statistic, Statistic) and name.startswith("generated "):
                statistic.reset()

    def _statistic(self, of: str, key: str) -> Statistic:
        name = f"{of} {key}"
        if name not in self._own:
            self._own[name] = STATISTICS[key](self.extractor).to(self.extractor.device)
        statistic = self._own[name]
        assert isinstance(statistic, Statistic)
        return statistic
