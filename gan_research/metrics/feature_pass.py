"""One pass over samples: each goes through the extractor once, and is shown to all statistics that want it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_research.distributed import raise_on_all_ranks, shard
from gan_research.metrics.exactness import exactly
from gan_research.metrics.extractors import Extractor, Features
from gan_research.metrics.samples import Reader
from gan_research.metrics.statistics import STATISTICS
from gan_research.utils.errors import UserError

Progress = Callable[[str, int, int], None]
"""Told after each batch: ("real" or "generated", how many samples are done, of how many)."""


class Look(NamedTuple):
    """What samples look like, for the protocol: "3 x 32 x 32", or "2" of points; how they came to be the network's."""

    shape: str
    quantisation: str
    channels: str


class FeaturePass:
    """Passes over samples on one device; in a process group each process takes its share of the batches.

    Batches are the same however many processes share them, so that features don't depend on that.
    """

    def __init__(self, extractor: Extractor, device: torch.device, batch_size: int) -> None:
        self.extractor, self.device, self.batch_size = extractor, device, batch_size
        self.looks: dict[str, Look] = {}
        """What the last samples of each kind looked like."""

    def __call__(
        self,
        which: str,
        read: Reader,
        count: int,
        wanted: Mapping[Any, tuple[str, Tensor | None]],
        progress: Progress | None = None,
    ) -> dict[Any, Any]:
        """What `count` samples come to, all processes' shares together.

        wanted: by any name, the key of a statistic and a mask (count,) of the samples that it is of; None: all.
        Raises a UserError, in all processes, where features aren't finite.
        """
        statistics = {name: STATISTICS[key](self.extractor).to(self.device) for name, (key, _) in wanted.items()}
        with exactly(self.device):
            with raise_on_all_ranks():
                for batch, seen, labels in self._features(which, read, count, progress):
                    for name, (_, mask) in wanted.items():
                        rows: slice | Tensor = slice(len(batch))
                        if mask is not None and batch:
                            rows = mask[batch.start : batch.stop].to(self.device)
                        statistics[name].update(seen.take(rows), None if labels is None else labels[rows])
            return {name: statistic.compute() for name, statistic in statistics.items()}

    def _features(
        self, which: str, read: Reader, count: int, progress: Progress | None
    ) -> Iterator[tuple[range, Features, Tensor | None]]:
        """This process's batches, their features and labels.

        A process without any gets the features of the first sample and an empty batch, so that all processes know how
        many features there are. Whether they are finite is asked at once of the first batch, of others on a GPU, which
        would have to be waited for, at the end.
        """
        batches = [range(start, min(start + self.batch_size, count)) for start in range(0, count, self.batch_size)]
        mine = [batches[i] for i in shard(len(batches))] or [range(0)]
        finite: list[Tensor] = []
        for i, (samples, labels) in enumerate(read([batch or range(1) for batch in mine])):
            seen = self.extract(samples, which)
            finite.append(torch.stack([values.isfinite().all() for values in seen if values is not None]).all())
            if i == 0 or self.device.type == "cpu":
                self._require(finite.pop(), which)
            yield mine[i], seen, None if labels is None else labels.to(self.device)
            if progress is not None:
                progress(which, count * (i + 1) // len(mine), count)
        if finite:
            self._require(torch.stack(finite).all(), which)

    def extract(self, samples: Tensor, which: str) -> Features:
        """The features of one batch."""
        if samples.is_floating_point() and samples.ndim == 2 and not samples.isfinite().all():
            raise UserError(f"the {which} points are not finite, so they can't be measured")
        quantised = "uint8, round and clamp" if samples.dtype == torch.uint8 else "none"
        shape = " x ".join(map(str, samples.shape[1:]))
        self.looks[which] = Look(shape, quantised, self.extractor.channels(samples))
        # From a GPU to the CPU a copy that doesn't wait could be read before it is there.
        return self.extractor(samples.to(self.device, non_blocking=samples.device.type == "cpu"))

    def _require(self, finite: Tensor, which: str) -> None:
        if not finite:
            raise UserError(
                f"the features of the {which} samples are not finite: the weights of extractor "
                f"'{self.extractor.name}' are broken or lack that layer; choose another layer or other weights"
            )
