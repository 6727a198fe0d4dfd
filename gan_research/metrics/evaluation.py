"""An evaluation: one feature pass over generated samples, all metrics, and the protocol of the numbers."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from pydantic import PositiveFloat, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from gan_research.data.sets import SampleSet
from gan_research.distributed import broadcast_object, is_rank_zero, raise_on_all_ranks
from gan_research.metrics.base import METRICS, Direction, Metric, Split, Statistics
from gan_research.metrics.cache import Cache
from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors.base import Extractor
from gan_research.metrics.feature_pass import FeaturePass, Progress
from gan_research.metrics.path_length import PathLength
from gan_research.metrics.protocol import Protocol, fingerprint, identity
from gan_research.metrics.samples import Batch, Draw, drawn_indices, files_of, labels_of, prefetching, reader_of
from gan_research.metrics.statistics import STATISTICS
from gan_research.metrics.statistics_files import StatisticsFile
from gan_research.sampling.layer_noise import Kind
from gan_research.sampling.sampler import Sampler
from gan_research.sampling.selection import Selection
from gan_research.sampling.standing import require_statistics
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.paths import cache_folder
from gan_research.utils.ranges import Range
from gan_research.utils.renamed import renamed_argument

Source = Draw | SampleSet | StatisticsFile  # generated samples: a generator's, a fixed set, or their statistics

CACHED = 2  # the version of the cache: another one if the same samples have other statistics


@dataclass(frozen=True)
class Need:
    """A statistic of real samples of a split, and of how many of them (None: all)."""

    split: Split
    key: str
    count: int | None


class Evaluation:
    """An evaluation of generators: call `prepare` once with real samples, then call it with a sampler.

    In a process group each process handles its shard of the batches. All return the same numbers, which don't depend
    on the world size.

    Args:
        extractor: turns images, or points, into features and logits.
        metrics: their names: fid, inception_score, kid, precision_recall, ... (docs/evaluation.md).
        num_samples: the number of generated samples.
        batch_size: of real and generated samples.
        seed: of the latents, which the caller draws.
        num_real: how many real samples a metric uses that needs all: always the same random ones; None: all.
        settings: of metrics, by name: {"kid": {"subset_size": 500}}.
        cache: whether to cache the statistics of real samples in the user's cache folder.
        every: rounds between two evaluations in training; None: evaluate_every.
        real_split: the real samples to compare with: those of training, or the held-out ones.
        truncation: the threshold of latents, see `Sampler.truncated`; None: the whole prior.
        psi, cutoff, psi_by_class, noise: of w and of the noise inside layers, see `Sampler.styled`.
        standing_statistics: batches of samples from which batch norm's statistics are computed, see
            `Sampler.standing`; None: the generator's own.
        standing_batch_size: of those batches; None: that of training.
        sampler: the method that selects samples by the discriminator, see `Sampler.selecting`; None: all samples.
    """

    def __init__(
        self,
        extractor: Extractor,
        metrics: Sequence[str] = ("fid", "inception_score"),
        num_samples: PositiveInt = 5000,
        batch_size: PositiveInt = 250,
        seed: int = 0,
        num_real: PositiveInt | None = None,
        settings: dict[str, dict[str, Any]] | None = None,
        cache: bool = True,
        every: PositiveInt | None = None,
        real_split: Split = "train",
        truncation: PositiveFloat | None = None,
        standing_statistics: PositiveInt | None = None,
        standing_batch_size: PositiveInt | None = None,
        psi: float | None = None,
        cutoff: PositiveInt | None = None,
        psi_by_class: bool = False,
        noise: Kind = "random",
        sampler: Selection | None = None,
    ) -> None:
        if num_samples < 2 or batch_size < 1 or (num_real is not None and num_real < 2):
            raise UserError(
                "an evaluation needs num_samples and num_real of at least 2 and batch_size of at least 1, "
                f"not {num_samples}, {num_real} and {batch_size}"
            )
        if isinstance(metrics, str) or not metrics:
            raise UserError(f"metrics is a list of names, such as [fid, inception_score], not {metrics!r}")
        self.extractor = extractor
        settings = {renamed_argument(name): values for name, values in (settings or {}).items()}
        self.metrics = _build_metrics(extractor, [renamed_argument(name) for name in metrics], settings)
        for metric in self.metrics:
            metric.check(num_samples)
        self.num_samples, self.batch_size, self.seed, self.num_real = num_samples, batch_size, seed, num_real
        self.every, self.real_split, self.truncation = every, real_split, truncation
        if standing_batch_size is not None and standing_statistics is None:
            raise UserError(
                f"standing_batch_size={standing_batch_size}: set standing_statistics=M too, or leave it out"
            )
        self.standing_statistics, self.standing_batch_size = standing_statistics, standing_batch_size
        if psi is None and (cutoff is not None or psi_by_class):
            name = "psi_by_class=true" if cutoff is None else f"cutoff={cutoff}"
            raise UserError(f"{name}: set psi too, such as psi=0.7, or leave it out")
        self.psi, self.cutoff, self.psi_by_class, self.noise = psi, cutoff, psi_by_class, noise
        if sampler is not None and "paths" in extractor.accepts:
            raise UserError(f"sampler={sampler.name}: path lengths are of latents as they are drawn: leave one out")
        self.sampler = sampler
        self.cache = Cache(cache_folder() / "statistics") if cache and extractor.cached else None
        self._real: dict[Need, Any] | None = None

    @property
    def columns(self) -> dict[str, Direction]:
        """The columns that rank generators, the first metric's first, and the better direction of each."""
        return {column: better for metric in self.metrics for column, better in metric.columns.items()}

    @property
    def ranges(self) -> dict[str, Range]:
        """The least and the largest value of each of them that is bounded."""
        return {column: range for metric in self.metrics for column, range in metric.ranges.items()}

    @property
    def measured(self) -> list[str]:
        """The main columns of all metrics, also of those that rank nothing."""
        return [column for metric in self.metrics for column in metric.measured]

    def prepare(
        self,
        real: SampleSet | StatisticsFile | None,
        device: torch.device | str = "cpu",
        split: str = "train",
        heldout: SampleSet | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Compute the statistics of real samples on `device`, or read them from the cache.

        split: which samples `real` are, for the protocol. heldout: samples that aren't trained on. Either may be None
        if no metric needs it.
        """
        if self.real_split == "heldout":
            real, split = heldout, "heldout"
        self._real, self._fake_labels, self._fake_files = None, "", ""
        self._pass = FeaturePass(self.extractor.to(device), torch.device(device), self.batch_size)
        self._identity: dict[str, Any] = identity(self.extractor)
        statistics: dict[Need, Any] = {}
        description: dict[str, Any] = {}
        sets: dict[Split, SampleSet | StatisticsFile | None] = {"train": real, "heldout": heldout}
        for name, samples in sets.items():
            pairs = [(m, need) for m in self.metrics for need in self._needs_of(m) if need.split == name]
            needs = list(dict.fromkeys(need for _, need in pairs))
            with raise_on_all_ranks():
                self._check_samples(samples, name)
                counts = {metric.name: self._count(metric, need, samples) for metric, need in pairs}
            statistics |= self._cached(samples, needs, progress)
            key = "real" if name == "train" else name
            content = samples.content_hash() if samples is not None and needs else ""
            most = None if None in counts.values() else max(filter(None, counts.values()), default=0)
            description |= {f"num_{key}": most, f"{key}_hash": content}
            if name == "train":
                file = isinstance(samples, StatisticsFile)
                description["real_split"] = ("file of statistics" if file else split) if needs else "none"
                description["real_files"] = files_of(samples) if needs else ""
                self._num_real = {metric: {"num_real": count} for metric, count in counts.items()}
        self._real, self._description = statistics, description

    def check(self, sampler: Sampler) -> None:
        """Raise a UserError if a generator can't be evaluated so."""
        if self.standing_statistics is not None:
            require_statistics(sampler.generator, f"standing_statistics={self.standing_statistics}")
        self._styled(sampler)
        for metric in self.metrics:
            if metric.settings.get("space") == "w":
                sampler.require_mapping(f"metric '{metric.name}' with space=w")
        sampler.selecting(self.sampler)

    @property
    def is_prepared(self) -> bool:
        """True once the statistics of real samples are known."""
        return self._real is not None

    def reference(self, key: str) -> Any:
        """Return a statistic of the real samples: moments (a `Gaussian`) or features (`Rows`)."""
        for need, value in self._prepared().items():
            if (need.split, need.key) == ("train", key):
                return value
        raise UserError(f"none of these metrics needs the {key} of real samples: add one that does, as fid or kid")

    def __call__(self, source: Source, progress: Progress | None = None) -> dict[str, float]:
        """Return the metrics of generated samples.

        Images are rounded and clamped to 8 bits, not truncated. Sample number i should depend on i and the seed
        alone, so that the numbers don't depend on the batch size. Sampling runs without gradient and autocast too.
        Raises a UserError if features aren't finite.
        """
        real = self._prepared()
        sampler = getattr(source, "sampler", None)
        if self.standing_statistics is not None and getattr(sampler, "standing_statistics", None) is None:
            what = f"standing_statistics={self.standing_statistics}"
            raise UserError(f"{what} is for generators, whose samples are drawn from `sampler.standing(...)`")
        if self.sampler is not None and getattr(sampler, "selection", None) is None:
            name = self.sampler.name
            raise UserError(f"sampler={name} is for generators, whose samples are drawn from `sampler.selecting(...)`")
        self._fake_files = files_of(source)
        generated = self._generated(source, progress)
        results: dict[str, float] = {}
        with exactly(self._pass.device):
            for metric in self.metrics:
                mine: dict[Split, dict[str, Any]] = {}
                for need in self._needs_of(metric):
                    mine.setdefault(need.split, {})[need.key] = real[need]
                results |= metric.value(generated, mine)
        return results

    def _generated(self, source: Source, progress: Progress | None) -> Statistics:
        if isinstance(source, StatisticsFile):
            source.check(self._identity, self.extractor.num_features)
            self._fake_labels = "as given"
            statistics = {key: source.of(metric.name, key) for metric in self.metrics for key in metric.statistics}
            return {key: value.to(self._pass.device) for key, value in statistics.items()}
        if not callable(source) and len(source) < self.num_samples:
            raise UserError(f"num_samples={self.num_samples:,}, and there are only {len(source):,} samples")
        self._require_labels(labels_of(source), "generated")
        self._fake_labels = ("in turn" if callable(source) else "as given") if labels_of(source) is not None else "none"
        paths = "paths" in self.extractor.accepts
        step = next(metric.step for metric in self.metrics if isinstance(metric, PathLength)) if paths else None
        keys = {key: (key, None) for metric in self.metrics for key in metric.statistics}
        return self._pass("generated", reader_of(source, step, self._pass.device), self.num_samples, keys, progress)

    def adapt(
        self, sampler: Any, seed: int | None = None, truncation: float | None = None, psi: float | None = None
    ) -> Any:
        """Return a `Sampler` with this evaluation's truncation, style, standing statistics and selection of samples.

        seed, truncation, psi: instead of the evaluation's.
        """
        sampler = self._styled(sampler.truncated(self.truncation if truncation is None else truncation), psi)
        batches, size = self.standing_statistics, self.standing_batch_size
        return sampler.standing(batches, size, self.seed if seed is None else seed).selecting(self.sampler)

    def _styled(self, sampler: Any, psi: float | None = None) -> Any:
        psi = self.psi if psi is None else psi
        return sampler.styled(1.0 if psi is None else psi, self.cutoff, self.noise, self.psi_by_class)

    def protocol(
        self,
        ema: bool | float | None = True,
        batch_statistics: bool | None = False,
        sampling_seeds: Sequence[int] | None = None,
        sampling: str | None = "prior",
        **how: Any,
    ) -> Protocol:
        """Return the protocol of the numbers; the caller describes the generator that it samples from.

        ema: whether its weights are averaged, or the profile of the average; batch_statistics: whether batch norm uses
        each batch's own statistics; sampling and the fields after it: `Sampler.protocol`.
        """
        self._prepared()
        unused = {kind for kind in ("real", "heldout") if self._description[f"num_{kind}"] == 0}
        inputs = {kind: one for kind, one in self._pass.inputs.items() if kind not in unused} or self._pass.inputs
        return Protocol(
            **self._identity,
            **self._description,
            channels=_joined({kind: one.channels for kind, one in inputs.items()}),
            quantisation=_joined({kind: one.quantisation for kind, one in inputs.items()}),
            real_shape=inputs["real"].shape if "real" in inputs.keys() - unused else "",
            fake_shape=inputs["generated"].shape if "generated" in inputs else "",
            fake_labels=self._fake_labels,
            fake_files=self._fake_files,
            num_fake=self.num_samples,
            ema=ema,
            batch_statistics=batch_statistics,
            sampling=sampling,
            **how,
            sampling_seeds=(self.seed,) if sampling_seeds is None else tuple(sampling_seeds),
            settings={metric.name: metric.settings | self._num_real.get(metric.name, {}) for metric in self.metrics},
        )

    # The real samples

    def _needs_of(self, metric: Metric) -> list[Need]:
        """Return the real statistics that a metric needs; `num_real` limits those of all training samples."""
        return [
            Need(split, key, self.num_real if count is None and split == "train" else count)
            for split, keys in metric.real_statistics(self.num_samples).items()
            for key, count in keys.items()
        ]

    def _check_samples(self, real: SampleSet | StatisticsFile | None, split: Split) -> None:
        """Raise a UserError if the extractor or a metric doesn't accept these samples; note their description."""
        if isinstance(real, StatisticsFile):
            real.check(self._identity, self.extractor.num_features)
        elif real is not None and len(real) and "paths" not in self.extractor.accepts:
            samples, labels = real.read(0, 1)
            self._pass.extract(samples, "real" if split == "train" else split)
            if split == "train":
                self._require_labels(labels, "real")

    def _require_labels(self, labels: Tensor | None, kind: str) -> None:
        if labels is None and (names := [metric.name for metric in self.metrics if metric.needs_labels]):
            raise UserError(
                f"metric '{names[0]}' needs the classes of samples, and the {kind} ones have none: choose labelled "
                "data and a class-conditional generator, or leave the metric out"
            )

    def _count(self, metric: Metric, need: Need, real: SampleSet | StatisticsFile | None) -> int | None:
        """Return how many real samples a metric uses (None: unknown); a UserError if there are too few."""
        if real is None:
            unseen = (
                "" if need.split == self.real_split == "train" else " that aren't trained on, and these data have none"
            )
            raise UserError(f"metric '{metric.name}' needs real samples{unseen}: leave the metric out, or use others")
        if isinstance(real, StatisticsFile):
            if need.count is not None:
                raise UserError(f"metric '{metric.name}' needs the real samples, not their statistics")
            real.of(metric.name, need.key)
            return real.statistics["moments"].count
        count = len(real) if need.count is None else need.count
        if count > len(real):
            cause = "num_real" if count == self.num_real else "num_samples"
            raise UserError(
                f"metric '{metric.name}' needs {count:,} real samples ({need.split}) for {cause}="
                f"{getattr(self, cause)}, and there are {len(real):,}: lower {cause}, or use more data"
            )
        if count < metric.min_real:
            raise UserError(
                f"metric '{metric.name}' needs at least {metric.min_real:,} real samples ({need.split}), and there "
                f"are {count:,}: use more, or change its settings"
            )
        return count

    def _cached(
        self, real: SampleSet | StatisticsFile | None, needs: list[Need], progress: Progress | None
    ) -> dict[Need, Any]:
        """Return statistics of a set: from its file, from the cache, or from one pass over the samples."""
        if not needs or real is None:
            return {}
        device = self._pass.device
        if isinstance(real, StatisticsFile):
            return {need: real.statistics[need.key].to(device) for need in needs}
        if self.cache is None:
            return self._computed(real, needs, progress)
        content = self._identity | {"real": real.content_hash(), "cached": CACHED}
        names = {need: f"{need.key}-{fingerprint(content | {'count': need.count})}" for need in needs}
        first = is_rank_zero()
        with self.cache.lock(fingerprint(content)) if first else contextlib.nullcontext():
            found = broadcast_object({need: self.cache.get(name) for need, name in names.items()} if first else {})
            missing = [need for need in needs if found[need] is None]
            values = self._computed(real, missing, progress) if missing else {}
            if first:
                for need, value in values.items():
                    self.cache.put(names[need], STATISTICS[need.key].pack(value))
        cached = {need: tensors for need, tensors in found.items() if tensors is not None}
        return values | {need: STATISTICS[need.key].unpack(tensors).to(device) for need, tensors in cached.items()}

    def _computed(self, real: SampleSet, needs: list[Need], progress: Progress | None) -> dict[Need, Any]:
        """Return statistics of a set from one pass over the samples that are needed."""
        orders = {need: drawn_indices(len(real), need.count) for need in needs}
        drawn = [order for order in orders.values() if order is not None]
        whole = len(drawn) < len(needs)
        indices = torch.arange(len(real)) if whole else torch.cat(drawn).unique()  # sorted

        def read(batch: range) -> Batch:
            start, stop = batch.start, batch.stop
            return real.read(start, stop) if whole else real.gather(indices[start:stop].tolist())

        masks = {need: None if order is None else torch.isin(indices, order) for need, order in orders.items()}
        wanted = {need: (need.key, mask) for need, mask in masks.items()}
        values = self._pass("real", prefetching(read, self._pass.device), len(indices), wanted, progress)
        for need, order in orders.items():
            if order is not None and need.key == "features":
                values[need] = values[need].take(order.argsort().argsort().to(self._pass.device))  # in drawn order
        return values

    def _prepared(self) -> dict[Need, Any]:
        if self._real is None:
            raise RuntimeError("call prepare(real, device) first: an evaluation compares with real samples")
        return self._real


def _joined(texts: dict[str, str]) -> str:
    """Return the text if all are the same, else each with its kind of samples."""
    different = sorted(set(texts.values()))
    return different[0] if len(different) == 1 else ", ".join(f"{text} ({kind})" for kind, text in texts.items())


def _build_metrics(extractor: Extractor, names: Sequence[str], settings: dict[str, dict[str, Any]]) -> list[Metric]:
    """Build the metrics with their settings, which are validated against the constructors' annotations."""
    for name in [*names, *settings]:
        if name not in METRICS:
            raise UserError(f"there is no metric '{name}': {did_you_mean(name, METRICS)}")
    if idle := [name for name in settings if name not in names]:
        raise UserError(f"settings.{idle[0]} is set, and metric '{idle[0]}' isn't measured: add it to the metrics")
    return [METRICS[name](extractor, **_valid_settings(name, settings.get(name, {}))) for name in names]


def _valid_settings(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    known = METRICS[name].setting_names()
    if not isinstance(settings, dict):
        raise UserError(f"settings.{name} is {settings!r}: give its settings by name, such as {', '.join(known)}")
    if unknown := [key for key in settings if key not in known]:
        raise UserError(f"metric '{name}' has no setting '{unknown[0]}': {did_you_mean(unknown[0], known)}")
    types = get_type_hints(METRICS[name].__init__)
    valid = {}
    for key, value in settings.items():
        try:
            valid[key] = TypeAdapter(types[key]).validate_python(value)
        except ValidationError as error:
            raise UserError(f"settings.{name}.{key}={value}: {error.errors()[0]['msg']}") from error
    return valid
