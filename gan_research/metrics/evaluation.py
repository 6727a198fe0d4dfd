"""An evaluation: one feature pass over generated samples, all metrics, and the protocol that the numbers belong to."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from typing import Protocol as Interface

import torch
from torch import Tensor

from gan_research.distributed import failing_together, from_first, position, share
from gan_research.errors import UserError, did_you_mean
from gan_research.metrics.base import DRAWS, METRICS, Direction, Kept, Metric, Split
from gan_research.metrics.extractors import Extractor, Features
from gan_research.metrics.protocol import Protocol, fingerprint, identity
from gan_research.metrics.reference import Cache, StatisticsFile, cache_folder
from gan_research.metrics.statistics import STATISTICS, Statistic
from gan_research.streams import stream

CACHED = 1
"""The version of what is cached: another one where the same samples come to something else."""

Read = tuple[Tensor, Tensor | None]
"""Samples, and their labels where they have any."""

Part = tuple[Statistic, Tensor | None]
"""What takes samples in, and a mask of those that it takes; None: all."""

Progress = Callable[[str, int, int], None]
"""Told after each batch: ("real" or "generated", how many samples are done, of how many)."""


class SampleSet(Interface):
    """What an evaluation asks of samples that lie there in a fixed order."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, start: int, stop: int) -> Read:
        """Those from start to stop - 1: uint8 (n, C, H, W) or float (n, dim), and their labels (n,), if any."""

    def gather(self, indices: Sequence[int]) -> Read:
        """Those at some places."""

    def content_hash(self) -> str:
        """A hash of the samples themselves, never of a name."""


Source = Callable[[int, int], Tensor] | SampleSet | StatisticsFile
"""Generated samples: (start, stop) -> uint8 (stop - start, C, H, W) or points; or a set of them; or their statistics.

A callable may have `labels(start, stop)`, the classes of these samples, and `paths(start, stop, epsilon)`, the pairs of
pictures that path lengths are measured by.
"""


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
        self.generated: Kept = {}
        """What the last samples came to: statistics by their keys."""
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
        self._real, self._device = None, torch.device(device)
        self.extractor.to(self._device)
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

    def __call__(self, source: Source, progress: Progress | None = None) -> dict[str, float]:
        """The metrics of generated samples.

        Pictures are rounded and clamped to 8 bits, not truncated. Sample number i should depend on i and the seed
        alone, so that numbers don't depend on the batch size. Sampling, too, runs here without gradient and autocast.
        Raises a UserError where features aren't finite.
        """
        real = self._ready()
        keys = list(dict.fromkeys(key for metric in self.metrics for key in metric.wants))
        if isinstance(source, StatisticsFile):
            source.check(self.extractor)
            self.generated = {key: source.of(metric.name, key) for metric in self.metrics for key in metric.wants}
        else:
            statistics = {key: self._statistic(key) for key in keys}
            with _exactly(self._device):
                everything: list[Part] = [(statistic, None) for statistic in statistics.values()]
                self._pass("generated", self._reader(source), self.num_samples, everything, progress)
                self.generated = {key: statistic.compute() for key, statistic in statistics.items()}
        results: dict[str, float] = {}
        with _exactly(self._device):
            for metric in self.metrics:
                mine: dict[Split, dict[str, Any]] = {}
                for need in self._needs_of(metric):
                    mine.setdefault(need.split, {})[need.key] = real[need]
                results |= metric.value(self.generated, mine)
        return results

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
        with _exactly(self._device):
            self.extractor(samples.to(self._device))
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
            return {need: self._unpacked(need, STATISTICS[need.key].pack(real.kept[need.key])) for need in needs}
        if self.cache is None:
            return self._extracted(real, needs, progress)
        of = self._identity | {"real": real.content_hash(), "cached": CACHED}
        names = {need: f"{need.key}-{fingerprint(of | {'count': need.count})}" for need in needs}
        first = position()[0] == 0
        with self.cache.lock(fingerprint(of)) if first else contextlib.nullcontext():
            found = from_first({need: self.cache.get(name) for need, name in names.items()} if first else {})
            missing = [need for need in needs if found[need] is None]
            values = self._extracted(real, missing, progress) if missing else {}
            if first:
                for need, value in values.items():
                    self.cache.put(names[need], STATISTICS[need.key].pack(value))
        return values | {need: self._unpacked(need, kept) for need, kept in found.items() if kept is not None}

    def _unpacked(self, need: Need, tensors: dict[str, Tensor]) -> Any:
        return STATISTICS[need.key].unpack({name: tensor.to(self._device) for name, tensor in tensors.items()})

    def _extracted(self, real: SampleSet, needs: list[Need], progress: Progress | None) -> dict[Need, Any]:
        """What is wanted of a set, in one pass over the samples that are."""
        orders = {need: drawn_places(len(real), need.count) for need in needs}
        drawn = [order for order in orders.values() if order is not None]
        whole = len(drawn) < len(needs)
        places = torch.arange(len(real)) if whole else torch.cat(drawn).unique()  # sorted
        statistics = {need: self._statistic(need.key) for need in needs}

        def read(batch: range) -> Read:
            start, stop = batch.start, batch.stop
            return real.read(start, stop) if whole else real.gather(places[start:stop].tolist())

        parts = [
            (statistics[need], None if order is None else torch.isin(places, order)) for need, order in orders.items()
        ]
        with _exactly(self._device):
            self._pass("real", lambda batches: _ahead(read, batches), len(places), parts, progress)
            values = {need: statistic.compute() for need, statistic in statistics.items()}
        for need, order in orders.items():
            if order is not None and need.key == "features":
                values[need] = values[need].take(order.argsort().argsort().to(self._device))  # in the order drawn
        return values

    # A pass

    def _pass(
        self,
        which: str,
        read: Callable[[list[range]], Iterator[Read]],
        count: int,
        parts: list[Part],
        progress: Progress | None,
    ) -> None:
        """Show `count` samples to statistics, those of a mask or all: this process's share of the batches.

        Batches are the same however many processes share them. A process without one shows none of the first sample,
        so that all know how many features there are.
        """
        batches = [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]
        mine = [batches[i] for i in share(len(batches))] or [range(0)]
        finite: list[Tensor] = []
        with failing_together():
            for i, (samples, labels) in enumerate(read([batch or range(1) for batch in mine])):
                seen = self._extract(samples.to(self._device, non_blocking=True), which, finite)
                for statistic, mask in parts:
                    batch = mine[i]
                    rows = torch.arange(len(batch)) if mask is None else mask[batch.start : batch.stop].nonzero()[:, 0]
                    rows = rows.to(self._device)
                    statistic.update(seen.take(rows), None if labels is None else labels.to(self._device)[rows])
                if progress is not None:
                    progress(which, count * (i + 1) // len(mine), count)
            if finite and not torch.stack(finite).all():
                self._refuse(which)

    def _reader(self, source: Callable[[int, int], Tensor] | SampleSet) -> Callable[[list[range]], Iterator[Read]]:
        """Batches -> generated samples and their labels."""
        if callable(source):
            return lambda batches: (self._drawn(source, batch) for batch in batches)
        if len(source) < self.num_samples:
            raise UserError(f"num_samples={self.num_samples:,}, and there are only {len(source):,} samples")
        return lambda batches: _ahead(lambda batch: source.read(batch.start, batch.stop), batches)

    def _drawn(self, source: Any, batch: range) -> Read:
        """Generated samples, or paths where those are what the extractor takes."""
        start, stop = batch.start, batch.stop
        if "paths" in self.extractor.takes:
            if not hasattr(source, "paths"):
                raise UserError("path lengths need a generator, not a set of its pictures: give a checkpoint or a run")
            samples = source.paths(start, stop, next(m.epsilon for m in self.metrics if hasattr(m, "epsilon")))
        else:
            samples = source(start, stop)
        if len(samples) != stop - start:
            raise ValueError(f"sample({start}, {stop}) has to make {stop - start} samples, and made {len(samples)}")
        return samples, source.labels(start, stop) if hasattr(source, "labels") else None

    def _extract(self, samples: Tensor, which: str, finite: list[Tensor]) -> Features:
        """The features; whether they are finite is asked at once for the first batch, on a GPU of others at the end."""
        if samples.is_floating_point() and samples.ndim == 2 and not samples.isfinite().all():
            raise UserError(f"the {which} points are not finite, so they can't be measured")
        seen = self.extractor(samples)
        finite.append(torch.stack([values.isfinite().all() for values in seen if values is not None]).all())
        if (len(finite) == 1 or self._device.type == "cpu") and not finite[-1]:
            self._refuse(which)
        return seen

    def _refuse(self, which: str) -> None:
        raise UserError(
            f"the features of the {which} samples are not finite: the weights of extractor '{self.extractor.name}' are "
            "broken or lack that layer; choose another layer or other weights"
        )

    def _statistic(self, key: str) -> Statistic:
        return STATISTICS[key](self.extractor).to(self._device)

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


def drawn_places(size: int, count: int | None) -> Tensor | None:
    """The places of `count` samples of a set of `size`, drawn at random once and for all; None: all of them."""
    if count is None:
        return None
    return torch.randperm(size, generator=stream(DRAWS, "real samples"))[:count]


def _ahead(read: Callable[[range], Read], batches: list[range]) -> Iterator[Read]:
    """Each batch, read while the one before it is worked on; in memory from which a GPU copies by itself."""

    def fetch(batch: range) -> Read:
        samples, labels = read(batch)
        return samples.pin_memory() if torch.cuda.is_available() else samples, labels

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(fetch, batches[0])
        for batch in batches[1:]:
            ready = coming.result()
            coming = pool.submit(fetch, batch)
            yield ready
        yield coming.result()


@contextlib.contextmanager
def _exactly(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, and float32 that is float32: on a GPU no TF32, and deterministic convolutions."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        if device.type == "cuda":
            cudnn = torch.backends.cudnn
            stack.enter_context(cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False))
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
        yield
