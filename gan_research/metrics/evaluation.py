"""An evaluation: one feature pass over generated samples, all metrics, and the protocol that the numbers belong to."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gan_research.distributed import failing_together, from_first, is_first
from gan_research.errors import UserError, did_you_mean
from gan_research.metrics.base import METRICS, Direction, Kept, Metric, Split
from gan_research.metrics.cache import Cache, cache_folder
from gan_research.metrics.extractors import Extractor
from gan_research.metrics.feature_pass import FeaturePass, Progress, exactly
from gan_research.metrics.gaussians import Gaussian
from gan_research.metrics.protocol import Protocol, fingerprint, identity
from gan_research.metrics.samples import Draw, Read, SampleSet, drawn_places, reader_of, reading_ahead
from gan_research.metrics.statistics import STATISTICS
from gan_research.metrics.statistics_files import StatisticsFile

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
        self.cache = Cache(cache_folder() / "statistics") if cache and extractor.is_network else None
        self._real: dict[Need, Any] | None = None
        self._described: dict[str, Any] = {}
        self._identity: dict[str, Any] = {}

    @property
    def columns(self) -> dict[str, Direction]:
        """The columns by which generators can be ranked, the first metric's first; which of two values is better."""
        return {column: better for metric in self.metrics for column, better in metric.columns.items()}

    def prepare(
        self,
        real: SampleSet | StatisticsFile,
        device: torch.device | str = "cpu",
        split: str = "train",
        heldout: SampleSet | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Compute on `device`, or find in the cache, what the metrics want of the real samples.

        `split` says for the protocol which real samples they are. `heldout`: samples that training never sees.
        """
        self._real = None
        self._pass = FeaturePass(self.extractor.to(device), torch.device(device), self.batch_size)
        self._identity = identity(self.extractor)
        found: dict[Need, Any] = {}
        sets: dict[Split, SampleSet | StatisticsFile | None] = {"train": real, "heldout": heldout}
        described: dict[str, Any] = {"quantisation": "none", "channels": "as they are"}
        for name, samples in sets.items():
            needs = [need for need in self._needs() if need.split == name]
            with failing_together():
                described |= self._looked_at(samples)
                used = self._enough(samples, name)
            found |= self._computed(samples, needs, progress)
            of = "real" if name == "train" else name
            content = samples.content_hash() if samples is not None and needs else ""
            described |= {f"num_{of}": used, f"{of}_hash": content}
            if name == "train":
                file = isinstance(samples, StatisticsFile)
                described["real_split"] = ("file of statistics" if file else split) if needs else "none"
        self._real, self._described = found, described

    @property
    def is_prepared(self) -> bool:
        """Whether it knows the real samples."""
        return self._real is not None

    @property
    def reference(self) -> Gaussian:
        """The Gaussian fitted to the features of the real samples, where a metric wants it."""
        found = [value for need, value in self._ready().items() if (need.split, need.key) == ("train", "moments")]
        if not found:
            raise UserError("none of these metrics compares mean and covariance of features: add fid")
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
            source.check(self.extractor)
            wanted = {key: source.of(metric.name, key) for metric in self.metrics for key in metric.wants}
            return {key: self._here(key, STATISTICS[key].pack(value)) for key, value in wanted.items()}
        if not callable(source) and len(source) < self.num_samples:
            raise UserError(f"num_samples={self.num_samples:,}, and there are only {len(source):,} samples")
        paths = "paths" in self.extractor.takes
        epsilon = next(metric.settings["epsilon"] for metric in self.metrics) if paths else None
        keys = {key: (key, None) for metric in self.metrics for key in metric.wants}
        return self._pass("generated", reader_of(source, epsilon), self.num_samples, keys, progress)

    def protocol(
        self,
        ema: bool | None = True,
        batch_statistics: bool | None = False,
        sampling_seeds: Sequence[int] | None = None,
    ) -> Protocol:
        """What the numbers belong to; the caller says which generator it samples from.

        `ema`: the averaged weights; `batch_statistics`: batch norm by each batch's own statistics, not running ones.
        """
        self._ready()
        seeds = (self.seed,) if sampling_seeds is None else tuple(sampling_seeds)
        return Protocol(
            **self._identity,
            **self._described,
            num_fake=self.num_samples,
            ema=ema,
            batch_statistics=batch_statistics,
            sampling_seeds=seeds,
            settings={metric.name: dict(metric.settings) for metric in self.metrics},
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

    def _looked_at(self, real: SampleSet | StatisticsFile | None) -> dict[str, str]:
        """For the protocol: what is done with the samples before the network. Raises where it doesn't take them."""
        if isinstance(real, StatisticsFile):
            real.check(self.extractor)
            keys = ("quantisation", "channels")
            return {key: str(real.protocol.get(key, "as in the file of statistics")) for key in keys}
        if real is None or not len(real) or "paths" in self.extractor.takes:
            return {}
        samples = real.read(0, 1)[0]
        with exactly(self._pass.device):
            self._pass.extract(samples, "real")
        quantisation = "uint8, round and clamp" if samples.dtype == torch.uint8 else "none"
        return {"quantisation": quantisation, "channels": self.extractor.channels(samples)}

    def _enough(self, real: SampleSet | StatisticsFile | None, split: Split) -> int | None:
        """How many real samples are used; a UserError where that is fewer than a metric needs."""
        used = 0
        for metric in self.metrics:
            for need in self._needs_of(metric):
                if need.split != split:
                    continue
                if real is None:
                    raise UserError(
                        f"metric '{metric.name}' needs real samples that training never sees, and these data hold none "
                        "out: leave the metric out, or choose data with held-out samples"
                    )
                if isinstance(real, StatisticsFile):
                    if need.count is not None:
                        raise UserError(f"metric '{metric.name}' needs the real samples, not their statistics")
                    real.of(metric.name, need.key)
                    continue
                least = max(need.count or 0, metric.min_real())
                if len(real) < least:
                    raise UserError(
                        f"metric '{metric.name}' needs at least {least:,} real samples ({split}) for num_samples="
                        f"{self.num_samples}, and there are {len(real):,}: lower num_samples, or take more data"
                    )
                used = max(used, len(real) if need.count is None else need.count)
        return real.kept["moments"].count if isinstance(real, StatisticsFile) else used

    def _computed(
        self, real: SampleSet | StatisticsFile | None, needs: list[Need], progress: Progress | None
    ) -> dict[Need, Any]:
        """What is wanted of a set: from the cache, or in one pass over the samples."""
        if not needs or real is None:
            return {}
        if isinstance(real, StatisticsFile):
            return {need: self._here(need.key, STATISTICS[need.key].pack(real.kept[need.key])) for need in needs}
        if self.cache is None:
            return self._extracted(real, needs, progress)
        of = self._identity | {"real": real.content_hash(), "cached": CACHED}
        names = {need: f"{need.key}-{fingerprint(of | {'count': need.count})}" for need in needs}
        first = is_first()
        with self.cache.lock(fingerprint(of)) if first else contextlib.nullcontext():
            found = from_first({need: self.cache.get(name) for need, name in names.items()} if first else {})
            missing = [need for need in needs if found[need] is None]
            values = self._extracted(real, missing, progress) if missing else {}
            if first:
                for need, value in values.items():
                    self.cache.put(names[need], STATISTICS[need.key].pack(value))
        return values | {need: self._here(need.key, kept) for need, kept in found.items() if kept is not None}

    def _here(self, key: str, tensors: dict[str, Tensor]) -> Any:
        """A statistic out of a file, on the device."""
        return STATISTICS[key].unpack({name: tensor.to(self._pass.device) for name, tensor in tensors.items()})

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
        values = self._pass("real", reading_ahead(read), len(places), wanted, progress)
        for need, order in orders.items():
            if order is not None and need.key == "features":
                values[need] = values[need].take(order.argsort().argsort().to(self._pass.device))  # as they were drawn
        return values

    def _ready(self) -> dict[Need, Any]:
        if self._real is None:
            raise RuntimeError("call prepare(real, device) first: an evaluation compares with real samples")
        return self._real


def _made(extractor: Extractor, names: Sequence[str], settings: dict[str, dict[str, Any]]) -> list[Metric]:
    """The metrics, with their settings."""
    for name in [*names, *settings]:
        if name not in METRICS:
            raise UserError(f"there is no metric '{name}': {did_you_mean(name, METRICS)}")
    if idle := [name for name in settings if name not in names]:
        raise UserError(f"settings.{idle[0]} is set, and metric '{idle[0]}' isn't measured: add it to the metrics")
    for name, given in settings.items():
        known = METRICS[name].setting_names()
        if unknown := [key for key in given if key not in known]:
            raise UserError(f"metric '{name}' has no setting '{unknown[0]}': {did_you_mean(unknown[0], known)}")
    return [METRICS[name](extractor, **settings.get(name, {})) for name in names]
