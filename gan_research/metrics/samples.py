"""Readers of an evaluation's samples, which are a fixed set or a generator's."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from gan_research.data.sets import SampleSet
from gan_research.metrics.base import METRIC_SEED
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for

Batch = tuple[Tensor, Tensor | None]  # samples, and their labels if they have any

Reader = Callable[[list[range]], Iterator[Batch]]  # a function that yields the batches of the given ranges of samples

Draw = Callable[[int, int], Tensor]
"""(start, stop) -> uint8 (stop - start, C, H, W) or points, on any device.

It may have `labels(start, stop)`, the classes of these samples, and `paths(start, stop, **step)`, pairs of images for
path lengths.
"""


def drawn_indices(size: int, count: int | None) -> Tensor | None:
    """Return the indices of `count` samples out of `size`, always the same random ones; None: all."""
    if count is None:
        return None
    return torch.randperm(size, generator=generator_for(METRIC_SEED, "real samples"))[:count]


def labels_of(source: Draw | SampleSet) -> Tensor | None:
    """Return the label of the first sample, (1,); None if samples have none."""
    if callable(source):
        return source.labels(0, 1) if hasattr(source, "labels") else None
    return source.read(0, 1)[1]


def files_of(source: object) -> str:
    """Return the description of the image files of a set of samples; empty if there are none."""
    return source.files if isinstance(source, SampleSet) else ""


def reader_of(source: Draw | SampleSet, step: Mapping[str, Any] | None, device: torch.device) -> Reader:
    """Return a reader of generated samples, or of paths with this `PathLength.step`."""
    if step is not None and not hasattr(source, "paths"):
        raise UserError("path lengths need a generator, not a set of its images: give a checkpoint or a run")
    if callable(source):
        return lambda batches: (_draw(source, batch.start, batch.stop, step) for batch in batches)
    return prefetching(lambda batch: source.read(batch.start, batch.stop), device)


def _draw(source: Any, start: int, stop: int, step: Mapping[str, Any] | None) -> Batch:
    samples = source(start, stop) if step is None else source.paths(start, stop, **step)
    if len(samples) != stop - start:
        raise ValueError(f"sample({start}, {stop}) has to return {stop - start} samples, and returned {len(samples)}")
    return samples, source.labels(start, stop) if hasattr(source, "labels") else None


def prefetching(read: Callable[[range], Batch], device: torch.device) -> Reader:
    """Return a reader that reads ahead in a thread, for a GPU into pinned memory."""

    def fetch(batch: range) -> Batch:
        samples, labels = read(batch)
        return samples.pin_memory() if device.type == "cuda" else samples, labels

    def reader(batches: list[range]) -> Iterator[Batch]:
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(fetch, batches[0])
            for batch in batches[1:]:
                ready, coming = coming.result(), pool.submit(fetch, batch)
                yield ready
            yield coming.result()

    return reader
