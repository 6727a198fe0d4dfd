"""The order of real images: indices by (seed, position), for any ranks, workers or resuming."""

import torch
from torch import Tensor

from gan_research.utils.rng import generator_for


class Order:
    """An endless shuffle of `size` samples: epoch p is the permutation drawn from (seed, "shuffle", p).

    The permutations of the current and the last epoch are kept, on `device`.
    """

    def __init__(self, size: int, seed: int, device: torch.device | str = "cpu") -> None:
        if size < 1:
            raise ValueError(f"an order needs at least one sample, not {size}")
        self.size, self.seed, self.device = size, seed, torch.device(device)
        self._epochs: dict[int, Tensor] = {}

    def permutation(self, epoch: int) -> Tensor:
        """Return the permutation of an epoch: int64 (size,)."""
        if epoch not in self._epochs:
            shuffled = torch.randperm(self.size, generator=generator_for(self.seed, "shuffle", epoch))
            kept = {p: v for p, v in self._epochs.items() if p == epoch - 1}
            self._epochs = {**kept, epoch: shuffled.to(self.device)}
        return self._epochs[epoch]

    def indices(self, start: int, stop: int) -> Tensor:
        """Return the indices at positions [start, stop): int64 (stop - start,), a view within one epoch."""
        parts = []
        for epoch in range(start // self.size, max(stop - 1, start) // self.size + 1):
            first = epoch * self.size
            parts.append(self.permutation(epoch)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else torch.cat(parts)
