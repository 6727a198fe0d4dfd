"""The real samples of one update."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_research.data.base import Batch
from gan_research.data.layout import RoundLayout
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec


class Minibatch(NamedTuple):
    """Real images (N, C, H, W) and, if training is class-conditional, their labels (N,)."""

    images: Tensor
    labels: Tensor | None

    def repeated(self, times: int, packing: int) -> "Minibatch":
        """Return (times * N, C, H, W): each pack `times` in a row, so that any split in whole packs is one of N too."""
        if times == 1:
            return self
        packs = torch.arange(len(self.images), device=self.images.device).view(-1, packing)
        rows = packs.repeat_interleave(times, 0).flatten()
        return Minibatch(self.images[rows], None if self.labels is None else self.labels[rows])

    def clone(self) -> "Minibatch":
        return Minibatch(self.images.clone(), None if self.labels is None else self.labels.clone())

    def copy_(self, other: "Minibatch") -> None:
        for tensor, value in zip(self, other, strict=True):
            if tensor is not None and value is not None:
                tensor.copy_(value)


def batch_of(loaded: Any, samples: SampleSpec, layout: RoundLayout, round: int) -> Batch:
    """Return the real samples of a round from a batch of any loader: images, or (images, labels).

    Raises a UserError if they don't fit the networks' `samples`, or can't be split into the updates of a round.
    """
    if isinstance(loaded, Batch):
        return loaded
    parts = loaded if isinstance(loaded, list | tuple) else [loaded]
    if not 1 <= len(parts) <= 2 or not all(isinstance(part, Tensor) for part in parts):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise UserError(f"the loader's batch is ({kinds}): let its collate_fn return images, or (images, labels)")
    images, labels = parts[0], parts[1].long() if len(parts) == 2 else None
    (low, high), shape = samples.value_range, ", ".join(map(str, samples.shape))
    fits = images.is_floating_point() and images.shape[1:] == samples.shape
    if not fits or (round == 0 and not (low <= images.min() and images.max() <= high)):
        found = f"{images.dtype} {tuple(images.shape)} from {images.min():g} to {images.max():g}"
        raise UserError(f"the loader's images are {found}: give floats (N, {shape}) from {low:g} to {high:g}")
    parts_of_round = layout.minibatches * layout.accumulation
    if len(images) % parts_of_round:
        raise UserError(
            f"the loader's batch has {len(images)} images: a batch is a round, so give a multiple of "
            f"real minibatches x accumulation = {parts_of_round}, and drop_last=True"
        )
    if labels is not None and labels.shape != (len(images),):
        raise UserError(f"the loader's labels have the shape {tuple(labels.shape)}: give one class for each image")
    return Batch(images, labels, round)


def minibatches_of(batch: Batch, layout: RoundLayout, dtype: torch.dtype, conditional: bool) -> list[list[Minibatch]]:
    """Return the micro-batches of each minibatch from this rank's shard of a round.

    All have the same size. conditional: whether the networks need labels.
    """
    updates, parts = layout.minibatches, layout.accumulation
    images = batch.images.to(dtype).split(batch.images.shape[0] // (updates * parts))
    labels: Sequence[Tensor | None] = [None] * len(images)
    if conditional:
        if batch.labels is None:
            raise UserError("class-conditional training needs labels, and these data have none: set conditional=false")
        labels = batch.labels.split(len(images[0]))
    micro_batches = [Minibatch(x, y) for x, y in zip(images, labels, strict=True)]
    return [micro_batches[u * parts : (u + 1) * parts] for u in range(updates)]
