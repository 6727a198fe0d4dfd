"""An evaluation: one feature pass over generated samples, all metrics, and the protocol that the numbers belong to."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from gan_research.distributed import broadcast_object, is_rank_zero, raise_on_all_ranks
from gan_research.metrics.base import METRICS, Direction, Kept, Metric, Split
from gan_research.metrics.cache import Cache, cache_folder
from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors import Extractor
from gan_research.metrics.feature_pass import FeaturePass, Progress
from gan_research.metrics.gaussians import Gaussian
from gan_research.metrics.protocol import Protocol, fingerprint, identity
from gan_research.metrics.samples import Draw, Read, SampleSet, drawn_places, labels_of, reader_of, reading_ahead
from gan_research.metrics.statistics import STATISTICS, Rows
from gan_research.metrics.statistics_files import StatisticsFile
from gan_research.utils.errors import UserError, did_you_mean

Source = Draw | SampleSet | StatisticsFile
"""Generated samples: drawn when they are wanted, lying there, or known by their statistics."""

CACHED = 1
"""The version of what is cached: another one where the same samples come to something else."""


@dataclass(frozen=True)
class Need:
    """A statistic of real samples: of which split, and of how many of them (None: all)."""

    split: Split
    key: str
    count: int | None


class Evaluation:
    """Measures a generator: `prepare` once with real samples, then call it with something that samples.

    In a process group each process takes its share of the batches, every sample once; all get the same numbers, which
    don't depend on how many processes there are.

    Args:
        extractor: turns pictures, or points, into features and logits.
        metrics: names out of `METRICS`.
        num_samples: how many samples are generated.
        batch_size: how many at a time, real and generated.
        seed: of the latents, which the caller draws.
        num_real: how many real samples are used where a metric wants all: drawn at random once and for all; None: all.
        settings: of metrics, by name: {"kid": {"subset_size": 500}}.
        cache: keep what was computed of real samples in the user's cache folder, for the next evaluation.
    """

    def __init__(
        self,
        extractor: Extractor,
        metrics: Sequence[str] = ("fid", "is"),
        num_samples: int = 5000,
        batch_size: int = 250,
        seed: int = 0,
        num_real: int | None = None,
        settings: dict[str, dict[str, Any]] | None = None,
        cache: bool = True,
    ) -> None:
        if num_samples < 2 or batch_size < 1 or (num_real is not None and num_real < 2):
            raise UserError(
                "an evaluation needs num_samples and num_real of at least 2 and batch_size of at least 1, "
                f"not {num_samples}, {num_real} and {batch_size}"
            )
        if isinstance(metrics, str) or not metrics:
            raise UserError(f"metrics is a list of names, such as [fid, is], not {metrics!r}")
        self.extractor = extractor
        self.metrics = _made(extractor, metrics, settings or {})
        for metric in self.metrics:
            metric.check(num_samples)
        self.num_samples, self.batch_size, self.seed, self.num_real = num_samples, batch_size, seed, num_real
        self.cache = Cache(cache_folder() / "statistics") if cache and extractor.cached else None
        self._real: dict[Need, Any] | None = None
        self._described: dict[str, Any] = {}
        self._identity: dict[str, Any] = {}
        self._given: dict[str, dict[str, int | None]] = {}
        self._fake_labels = ""

    @property
    def columns(self) -> dict[str, Direction]:
        """The columns by which generators can be ranked, the first metric's first; which of two values is better."""
        return {column: better for metric in self.metrics for column, better in metric.columns.items()}

    def prepare(
        self,
        real: SampleSet | StatisticsFile | None,
        device: torch.device | str = "cpu",
        split: str = "train",
        heldout: SampleSet | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Compute on `device`, or find in the cache, what the metrics want of the real samples.

        `split` says for the protocol which real samples they are. `heldout`: samples that training never sees. None:
        there are none, which only some metrics put up with.
        """
        self._real, self._fake_labels = None, ""
        self._pass = FeaturePass(self.extractor.to(device), torch.device(device), self.batch_size)
        self._identity = identity(self.extractor)
        found: dict[Need, Any] = {}
        sets: dict[Split, SampleSet | StatisticsFile | None] = {"train": real, "heldout": heldout}
        described: dict[str, Any] = {}
        for name, samples in sets.items():
            needs = [need for need in self._needs() if need.split == name]
            with raise_on_all_ranks():
                self._look_at(samples, name)
                counts = self._counts(samples, name)
            found |= self._computed(samples, needs, progress)
            of = "real" if name == "train" else name
            content = samples.content_hash() if samples is not None and needs else ""
            known = [count for count in counts.values() if count is not None]
            most = max(known, default=0) if len(known) == len(counts) else None
            described |= {f"num_{of}": most, f"{of}_hash": content}
            if name == "train":
                file = isinstance(samples, StatisticsFile)
                described["real_split"] = ("file of statistics" if file else split) if needs else "none"
                self._given = {metric: {"num_real": count} for metric, count in counts.items()}
        self._real, self._described = found, described

    @property
    def is_prepared(self) -> bool:
        """Whether it knows the real samples."""
        return self._real is not None

    @property
    def reference(self) -> Gaussian:
        """The Gaussian fitted to the features of the real samples, where a metric wants it."""
        return self._of_train("moments")

    @property
    def reference_features(self) -> Rows:
        """The features of the real samples, where a metric wants them."""
        return self._of_train("features")

    def _of_train(self, key: str) -> Any:
        found = [value for need, value in self._ready().items() if (need.split, need.key) == ("train", key)]
        if not found:
            raise UserError(f"none of these metrics wants the {key} of real samples: add one that does, as fid or kid")
        return found[0]

    def __call__(self, source: Source, progress: Progress | None = None) -> dict[str, float]:
        """The metrics of generated samples.

        Pictures are rounded and clamped to 8 bits, not truncated. Sample number i should depend on i and the seed
        alone, so that numbers don't depend on the batch size. Sampling, too, runs here without gradient and autocast.
        Raises a UserError where features aren't finite.
        """
        real = self._ready()
        generated = self._kept(source, progress)
        results: dict[str, float] = {}
        with exactly(self._pass.device):
            for metric in self.metrics:
                mine: dict[Split, dict[str, Any]] = {}
                for need in self._needs_of(metric):
                    mine.setdefault(need.split, {})[need.key] = real[need]
                results |= metric.value(generated, mine)
        return results

    def _kept(self, source: Source, progress: Progress | None) -> Kept:
        """What the generated samples come to: the statistics that the metrics want, by their keys."""
        if isinstance(source, StatisticsFile):
            source.check(self._identity, self.extractor.num_features)
            self._fake_labels = "as given"
            wanted = {key: source.of(metric.name, key) for metric in self.metrics for key in metric.wants}
            return {key: value.to(self._pass.device) for key, value in wanted.items()}
        if not callable(source) and len(source) < self.num_samples:
            raise UserError(f"num_samples={self.num_samples:,}, and there are only {len(source):,} samples")
        self._require_labels(labels_of(source), "generated")
        self._fake_labels = ("in turn" if callable(source) else "as given") if labels_of(source) is not None else "none"
        paths = "paths" in self.extractor.takes
        epsilon = next(metric.settings["epsilon"] for metric in self.metrics) if paths else None
        keys = {key: (key, None) for metric in self.metrics for key in metric.wants}
        return self._pass("generated", reader_of(source, epsilon, self._pass.device), self.num_samples, keys, progress)

    def protocol(
        self,
        ema: bool | None = True,
        batch_statistics: bool | None = False,
        sampling_seeds: Sequence[int] | None = None,
        sampling: str | None = "prior",
    ) -> Protocol:
        """Return the protocol of the numbers; the caller says which generator it samples from.

        `ema`: the averaged weights; `batch_statistics`: batch norm by each batch's own statistics, not running ones;
        `sampling`: the sampler's description.
        """
        self._ready()
        used = {"generated": True, "real": self._described["num_real"] != 0, "heldout": self._described["num_heldout"]}
        looks = {which: look for which, look in self._pass.looks.items() if used[which]} or self._pass.looks
        channels = {which: look.channels for which, look in looks.items()}
        seeds = (self.seed,) if sampling_seeds is None else tuple(sampling_seeds)
        return Protocol(
            **self._identity,
            **self._described,
            channels=_joined(channels),
            quantisation=_joined({which: look.quantisation for which, look in looks.items()}),
            real_shape=looks["real"].shape if used["real"] and "real" in looks else "",
            fake_shape=looks["generated"].shape if "generated" in looks else "",
            fake_labels=self._fake_labels,
            num_fake=self.num_samples,
            ema=ema,
            batch_statistics=batch_statistics,
            sampling=sampling,
            sampling_seeds=seeds,
            settings={metric.name: metric.settings | self._given.get(metric.name, {}) for metric in self.metrics},
        )

    # The real samples

    def _needs_of(self, metric: Metric) -> list[Need]:
        """What a metric wants of real samples; where it wants all, they are `num_real`."""
        wanted = metric.wants_real(self.num_samples)
        return [
            Need(split, key, self.num_real if count is None and split == "train" else count)
            for split, keys in wanted.items()
            for key, count in keys.items()
        ]

    def _needs(self) -> list[Need]:
        return list(dict.fromkeys(need for metric in self.metrics for need in self._needs_of(metric)))

    def _look_at(self, real: SampleSet | StatisticsFile | None, split: Split) -> None:
        """Raise a UserError where the extractor, or a metric, doesn't take these samples; note what they look like."""
        if isinstance(real, StatisticsFile):
            real.check(self._identity, self.extractor.num_features)
        elif real is not None and len(real) and "paths" not in self.extractor.takes:
            samples, labels = real.read(0, 1)
            self._pass.extract(samples, "real" if split == "train" else split)
            if split == "train":
                self._require_labels(labels, "real")

    def _require_labels(self, labels: Tensor | None, which: str) -> None:
        if labels is None and (wanting := [metric.name for metric in self.metrics if metric.needs_labels]):
            raise UserError(
                f"metric '{wanting[0]}' needs the classes of samples, and the {which} ones have none: choose labelled "
                "data and a class-conditional generator, or leave the metric out"
            )

    def _counts(self, real: SampleSet | StatisticsFile | None, split: Split) -> dict[str, int | None]:
        """How many real samples of a split each metric is given, where it wants some; None: a file doesn't say."""
        needs = [(metric, need) for metric in self.metrics for need in self._needs_of(metric) if need.split == split]
        return {metric.name: self._count(metric, need, real) for metric, need in needs}

    def _count(self, metric: Metric, need: Need, real: SampleSet | StatisticsFile | None) -> int | None:
        """How many it is given; a UserError where that is fewer than it needs."""
        if real is None:
            unseen = "" if need.split == "train" else " that training never sees, and these data hold none out"
            raise UserError(f"metric '{metric.name}' needs real samples{unseen}: leave the metric out, or take others")
        if isinstance(real, StatisticsFile):
            if need.count is not None:
                raise UserError(f"metric '{metric.name}' needs the real samples, not their statistics")
            real.of(metric.name, need.key)
            return real.kept["moments"].count
        given = len(real) if need.count is None else need.count
        if given > len(real):
            cause = "num_real" if given == self.num_real else "num_samples"
            raise UserError(
                f"metric '{metric.name}' needs {given:,} real samples ({need.split}) for {cause}="
                f"{getattr(self, cause)}, and there are {len(real):,}: lower {cause}, or take more data"
            )
        if given < metric.min_real():
            raise UserError(
                f"metric '{metric.name}' needs at least {metric.min_real():,} real samples ({need.split}), and is "
                f"given {given:,}: take more, or see its settings"
            )
        return given

    def _computed(
        self, real: SampleSet | StatisticsFile | None, needs: list[Need], progress: Progress | None
    ) -> dict[Need, Any]:
        """What is wanted of a set: from the cache, or in one pass over the samples."""
        if not needs or real is None:
            return {}
        if isinstance(real, StatisticsFile):
            return {need: real.kept[need.key].to(self._pass.device) for need in needs}
        if self.cache is None:
            return self._extracted(real, needs, progress)
        of = self._identity | {"real": real.content_hash(), "cached": CACHED}
        names = {need: f"{need.key}-{fingerprint(of | {'count': need.count})}" for need in needs}
        first = is_rank_zero()
        with self.cache.lock(fingerprint(of)) if first else contextlib.nullcontext():
            found = broadcast_object({need: self.cache.get(name) for need, name in names.items()} if first else {})
            missing = [need for need in needs if found[need] is None]
            values = self._extracted(real, missing, progress) if missing else {}
            if first:
                for need, value in values.items():
                    self.cache.put(names[need], STATISTICS[need.key].pack(value))
        return values | {need: self._here(need.key, kept) for need, kept in found.items() if kept is not None}

    def _here(self, key: str, tensors: dict[str, Tensor]) -> Any:
        """A statistic out of the cache, on the device."""
        return STATISTICS[key].unpack(tensors).to(self._pass.device)

    def _extracted(self, real: SampleSet, needs: list[Need], progress: Progress | None) -> dict[Need, Any]:
        """What is wanted of a set, in one pass over the samples that are."""
        orders = {need: drawn_places(len(real), need.count) for need in needs}
        drawn = [order for order in orders.values() if order is not None]
        whole = len(drawn) < len(needs)
        places = torch.arange(len(real)) if whole else torch.cat(drawn).unique()  # sorted

        def read(batch: range) -> Read:
            start, stop = batch.start, batch.stop
            return real.read(start, stop) if whole else real.gather(places[start:stop].tolist())

        wanted = {
            need: (need.key, None if order is None else torch.isin(places, order)) for need, order in orders.items()
        }
        values = self._pass("real", reading_ahead(read, self._pass.device), len(places), wanted, progress)
        for need, order in orders.items():
            if order is not None and need.key == "features":
                values[need] = values[need].take(order.argsort().argsort().to(self._pass.device))  # as they were drawn
        return values

    def _ready(self) -> dict[Need, Any]:
        if self._real is None:
            raise RuntimeError("call prepare(real, device) first: an evaluation compares with real samples")
        return self._real


def _joined(texts: dict[str, str]) -> str:
    """One text where all are the same, else each with what it is of."""
    different = sorted(set(texts.values()))
    return different[0] if len(different) == 1 else ", ".join(f"{text} ({which})" for which, text in texts.items())


def _made(extractor: Extractor, names: Sequence[str], settings: dict[str, dict[str, Any]]) -> list[Metric]:
    """The metrics, with their settings."""
    for name in [*names, *settings]:
        if name not in METRICS:
            raise UserError(f"there is no metric '{name}': {did_you_mean(name, METRICS)}")
    if idle := [name for name in settings if name not in names]:
        raise UserError(f"settings.{idle[0]} is set, and metric '{idle[0]}' isn't measured: add it to the metrics")
    for name, given in settings.items():
        known = METRICS[name].setting_names()
        if not isinstance(given, dict):
            raise UserError(f"settings.{name} is {given!r}: give its settings by name, such as {', '.join(known)}")
        if unknown := [key for key in given if key not in known]:
            raise UserError(f"metric '{name}' has no setting '{unknown[0]}': {did_you_mean(unknown[0], known)}")
    return [METRICS[name](extractor, **_typed(name, settings.get(name, {}))) for name in names]


def _typed(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """A metric's settings, as its constructor's annotations want them."""
    types = get_type_hints(METRICS[name].__init__)
    try:
        return {key: TypeAdapter(types[key]).validate_python(value) for key, value in given.items()}
    except ValidationError as error:
        wrong = next(key for key, value in given.items() if value == error.errors()[0]["input"])
        raise UserError(f"settings.{name}.{wrong}={given[wrong]}: {error.errors()[0]['msg']}") from error
