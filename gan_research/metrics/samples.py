"""What an evaluation is given: samples that lie there, or that are drawn, and how they are read."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from gan_research.metrics.base import DRAWS
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for

Read = tuple[Tensor, Tensor | None]
"""Samples, and their labels where they have any."""

Reader = Callable[[list[range]], Iterator[Read]]
"""Batches, as ranges of samples, -> what is in them."""


class SampleSet(Protocol):
    """What an evaluation asks of samples that lie there in a fixed order."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, start: int, stop: int) -> Read:
        """Those from start to stop - 1: uint8 (n, C, H, W) or float (n, dim), and their labels (n,), if any."""

    def gather(self, indices: Sequence[int]) -> Read:
        """Those at some places."""

    def content_hash(self) -> str:
        """A hash of the samples themselves, never of a name."""


Draw = Callable[[int, int], Tensor]
"""(start, stop) -> uint8 (stop - start, C, H, W) or points, on any device.

It may have `labels(start, stop)`, the classes of these samples, and `paths(start, stop, epsilon)`, the pairs of
pictures that path lengths are measured by.
"""


def drawn_places(size: int, count: int | None) -> Tensor | None:
    """The places of `count` samples of a set of `size`, drawn at random once and for all; None: all of them."""
    if count is None:
        return None
    return torch.randperm(size, generator=generator_for(DRAWS, "real samples"))[:count]


def labels_of(source: Draw | SampleSet) -> Tensor | None:
    """The label of the first sample, (1,); None where samples have none."""
    if callable(source):
        return source.labels(0, 1) if hasattr(source, "labels") else None
    return source.read(0, 1)[1]


def reader_of(source: Draw | SampleSet, epsilon: float | None, device: torch.device) -> Reader:
    """Reads generated samples; with an `epsilon` paths of that step."""
    if epsilon is not None and not hasattr(source, "paths"):
        raise UserError("path lengths need a generator, not a set of its pictures: give a checkpoint or a run")
    if callable(source):
        return lambda batches: (_drawn(source, batch.start, batch.stop, epsilon) for batch in batches)
    return reading_ahead(lambda batch: source.read(batch.start, batch.stop), device)


def _drawn(source: Any, start: int, stop: int, epsilon: float | None) -> Read:
    samples = source(start, stop) if epsilon is None else source.paths(start, stop, epsilon)
    if len(samples) != stop - start:
        raise ValueError(f"sample({start}, {stop}) has to make {stop - start} samples, and made {len(samples)}")
    return samples, source.labels(start, stop) if hasattr(source, "labels") else None


def reading_ahead(read: Callable[[range], Read], device: torch.device) -> Reader:
    """Each batch is read while the one before it is worked on; for a GPU into memory from which it copies by itself."""

    def fetch(batch: range) -> Read:
        samples, labels = read(batch)
        return samples.pin_memory() if device.type == "cuda" else samples, labels

    def reader(batches: list[range]) -> Iterator[Read]:
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(fetch, batches[0])
            for batch in batches[1:]:
                ready, coming = coming.result(), pool.submit(fetch, batch)
                yield ready
            yield coming.result()

    return reader
