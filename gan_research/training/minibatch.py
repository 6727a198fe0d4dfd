"""The real samples of one update."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gan_research.data.base import Batch
from gan_research.data.layout import RoundLayout
from gan_research.utils.errors import UserError


class Minibatch(NamedTuple):
    """Real images (N, C, H, W) and, in class-conditional play, their labels (N,)."""

    images: Tensor
    labels: Tensor | None

    def repeated(self, times: int, packing: int) -> "Minibatch":
        """Return (times * N, C, H, W): each pack `times` in a row, so that any split in whole packs is one of N too."""
        if times == 1:
            return self
        whole = torch.arange(len(self.images), device=self.images.device).view(-1, packing)
        rows = whole.repeat_interleave(times, 0).flatten()
        return Minibatch(self.images[rows], None if self.labels is None else self.labels[rows])

    def clone(self) -> "Minibatch":
        return Minibatch(self.images.clone(), None if self.labels is None else self.labels.clone())

    def copy_(self, other: "Minibatch") -> None:
        """Copy the other's values in place."""
        self.images.copy_(other.images)
        if self.labels is not None:
            assert other.labels is not None
            self.labels.copy_(other.labels)


def minibatches_of(batch: Batch, layout: RoundLayout, dtype: torch.dtype, conditional: bool) -> list[list[Minibatch]]:
    """Split this rank's share of a round into a minibatch for each update of D, in micro-batches of equal size.

    conditional: whether labels are wanted.
    """
    updates, parts = layout.discriminator_steps, layout.accumulation
    images = batch.images.to(dtype).split(batch.images.shape[0] // (updates * parts))
    labels: Sequence[Tensor | None] = [None] * len(images)
    if conditional:
        if batch.labels is None:
            raise UserError("class-conditional training needs labels, and these data have none: set conditional=false")
        labels = batch.labels.split(len(images[0]))
    micro = [Minibatch(x, y) for x, y in zip(images, labels, strict=True)]
    return [micro[u * parts : (u + 1) * parts] for u in range(updates)]
