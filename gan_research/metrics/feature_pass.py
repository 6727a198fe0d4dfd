"""A pass over samples, which extracts the features once and updates all statistics."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_research.distributed import raise_on_all_ranks, shard
from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors.base import Extractor, Features
from gan_research.metrics.samples import Reader
from gan_research.metrics.statistics import STATISTICS
from gan_research.utils.errors import UserError

Progress = Callable[[str, int, int], None]
"""A function that is called after each batch: ("real" or "generated", samples that are done, all samples)."""


class InputDescription(NamedTuple):
    """The protocol's description of samples: their shape ("3 x 32 x 32"), quantisation and channels."""

    shape: str
    quantisation: str
    channels: str


class FeaturePass:
    """Passes over samples on one device; in a process group each process gets its shard of the batches.

    The batches don't depend on the world size, and so neither do the features.
    """

    def __init__(self, extractor: Extractor, device: torch.device, batch_size: int) -> None:
        self.extractor, self.device, self.batch_size = extractor, device, batch_size
        self.inputs: dict[str, InputDescription] = {}  # the last samples of each kind

    def __call__(
        self,
        kind: str,
        read: Reader,
        count: int,
        wanted: Mapping[Any, tuple[str, Tensor | None]],
        progress: Progress | None = None,
    ) -> dict[Any, Any]:
        """Return the statistics of `count` samples over all processes.

        wanted: any name -> the key of a statistic, and a mask (count,) of the samples to use (None: all).
        Raises a UserError, in all processes, if features aren't finite.
        """
        statistics = {name: STATISTICS[key](self.extractor).to(self.device) for name, (key, _) in wanted.items()}
        with exactly(self.device):
            with raise_on_all_ranks():
                for batch, features, labels in self._features(kind, read, count, progress):
                    for name, (_, mask) in wanted.items():
                        rows: slice | Tensor = slice(len(batch))
                        if mask is not None and batch:
                            rows = mask[batch.start : batch.stop].to(self.device)
                        statistics[name].update(features.take(rows), None if labels is None else labels[rows])
            return {name: statistic.compute() for name, statistic in statistics.items()}

    def _features(
        self, kind: str, read: Reader, count: int, progress: Progress | None
    ) -> Iterator[tuple[range, Features, Tensor | None]]:
        """Yield the batches of this process with their features and labels.

        A process without any gets the features of the first sample and an empty batch, so that all processes know the
        number of features. On a GPU only the first batch is checked at once for finite features; the others are
        checked at the end, so that the CPU doesn't wait.
        """
        batches = [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]
        mine = [batches[i] for i in shard(len(batches))] or [range(0)]
        finite: list[Tensor] = []
        for i, (samples, labels) in enumerate(read([batch or range(1) for batch in mine])):
            features = self.extract(samples, kind)
            finite.append(torch.stack([values.isfinite().all() for values in features if values is not None]).all())
            if i == 0 or self.device.type == "cpu":
                self._require(finite.pop(), kind)
            yield mine[i], features, None if labels is None else labels.to(self.device)
            if progress is not None:
                progress(kind, count * (i + 1) // len(mine), count)
        if finite:
            self._require(torch.stack(finite).all(), kind)

    def extract(self, samples: Tensor, kind: str) -> Features:
        """Return the features of one batch."""
        if samples.is_floating_point() and samples.ndim == 2 and not samples.isfinite().all():
            raise UserError(f"the {kind} points are not finite, so they can't be measured")
        quantised = "uint8, round and clamp" if samples.dtype == torch.uint8 else "none"
        shape = " x ".join(map(str, samples.shape[1:]))
        self.inputs[kind] = InputDescription(shape, quantised, self.extractor.channels(samples))
        # A non-blocking copy from a GPU to the CPU could be read before it is complete.
        return self.extractor(samples.to(self.device, non_blocking=samples.device.type == "cpu"))

    def _require(self, finite: Tensor, kind: str) -> None:
        if not finite:
            raise UserError(
                f"the features of the {kind} samples are not finite: the weights of extractor "
                f"'{self.extractor.name}' are broken or lack that layer; choose another layer or other weights"
            )
