"""The order of the real pictures: an infinite stream of indices that is a function of (seed, position) only.

It knows nothing of ranks, workers or resuming: whoever asks for the same positions gets the same pictures.
"""

import torch
from torch import Tensor

from gan_research.utils.rng import generator_for


class Order:
    """An endless shuffle of `size` samples: pass p over the set is the permutation of `stream(seed, "shuffle", p)`.

    The permutations of the current and the last pass are kept, on `device`.
    """

    def __init__(self, size: int, seed: int, device: torch.device | str = "cpu") -> None:
        if size < 1:
            raise ValueError(f"an order needs at least one sample, not {size}")
        self.size, self.seed, self.device = size, seed, torch.device(device)
        self._passes: dict[int, Tensor] = {}

    def permutation(self, number: int) -> Tensor:
        """The permutation of pass `number`: int64 (size,)."""
        if number not in self._passes:
            shuffled = torch.randperm(self.size, generator=generator_for(self.seed, "shuffle", number))
            kept = {p: v for p, v in self._passes.items() if p == number - 1}
            self._passes = {**kept, number: shuffled.to(self.device)}
        return self._passes[number]

    def indices(self, start: int, stop: int) -> Tensor:
        """The samples at the positions [start, stop): int64 (stop - start,), a view where one pass holds them."""
        number, at = divmod(start, self.size)
        end = at + stop - start
        if end <= self.size:
            return self.permutation(number)[at:end]
        parts = []
        while end > 0:
            parts.append(self.permutation(number)[at : min(end, self.size)])
            number, at, end = number + 1, 0, end - self.size
        return torch.cat(parts)
