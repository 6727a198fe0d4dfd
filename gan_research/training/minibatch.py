"""The real samples of one update."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan_research.data.base import Batch
from gan_research.data.layout import RoundLayout
from gan_research.utils.errors import UserError


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


def minibatches_of(batch: Batch, layout: RoundLayout, dtype: torch.dtype, conditional: bool) -> list[list[Minibatch]]:
    """Return the micro-batches of each discriminator update from this rank's shard of a round.

    All have the same size. conditional: whether the networks need labels.
    """
    updates, parts = layout.discriminator_steps, layout.accumulation
    images = batch.images.to(dtype).split(batch.images.shape[0] // (updates * parts))
    labels: Sequence[Tensor | None] = [None] * len(images)
    if conditional:
        if batch.labels is None:
            raise UserError("class-conditional training needs labels, and these data have none: set conditional=false")
        labels = batch.labels.split(len(images[0]))
    micro_batches = [Minibatch(x, y) for x, y in zip(images, labels, strict=True)]
    return [micro_batches[u * parts : (u + 1) * parts] for u in range(updates)]
