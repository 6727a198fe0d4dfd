"""The real samples of one update."""

from typing import NamedTuple

import torch
from torch import Tensor


class Minibatch(NamedTuple):
    """Real images (N, C, H, W) and, in class-conditional play, their labels (N,)."""

    images: Tensor
    labels: Tensor | None

    def repeated(self, times: int, packing: int) -> "Minibatch":
        """(times * N, C, H, W): each pack as often in a row, so that any split in whole packs is one of N too."""
        if times == 1:
            return self
        whole = torch.arange(len(self.images), device=self.images.device).view(-1, packing)
        rows = whole.repeat_interleave(times, 0).flatten()
        return Minibatch(self.images[rows], None if self.labels is None else self.labels[rows])

    def clone(self) -> "Minibatch":
        return Minibatch(self.images.clone(), None if self.labels is None else self.labels.clone())

    def copy_(self, other: "Minibatch") -> None:
        """Take the other's values, in the place."""
        self.images.copy_(other.images)
        if self.labels is not None:
            assert other.labels is not None
            self.labels.copy_(other.labels)
