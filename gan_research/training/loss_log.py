"""Loss terms, kept on the device and brought to the host once per logging interval."""

import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from gan_research.distributed import raise_on_all_ranks, rank_and_world_size
from gan_research.distributed.group import all_gather_object
from gan_research.utils.errors import DIVERGED, UserError


class Diverged(UserError):
    """A loss term became NaN or infinite, in `round`."""

    status = DIVERGED

    def __init__(self, message: str, round: int | None = None):
        super().__init__(message)
        self.round = round


class LossLog:
    """Keeps each round's terms as they are (no arithmetic, no copy to the host) until they are flushed.

    A term is a tensor of any shape: what is flushed is the mean of each term over the interval. What is pending
    travels in checkpoints, so that a resumed run flushes the same means.
    """

    def __init__(self, every: int = 50):
        if every < 1:
            raise UserError(f"log_every={every}: give an interval of at least 1 round")
        self.every = every
        self.round = 1
        """The round that is being trained, counted from 1."""
        self._pending: list[tuple[str, int, Tensor]] = []
        """(name, round, value), in the order of recording."""

    def due(self, round: int) -> bool:
        """Return whether the interval ends with the `round`-th round (counted from 1)."""
        return round % self.every == 0

    @property
    def measuring(self) -> bool:
        """Return whether the interval ends with the round that is being trained."""
        return self.due(self.round)

    def add(self, name: str, value: Tensor) -> None:
        """Keep `value`, as of the round that is being trained."""
        self._pending.append((name, self.round, value.detach()))

    @contextmanager
    def capture(self) -> Iterator[list[tuple[str, int, Tensor]]]:
        """Hand over what is added inside as (name, round, value), instead of keeping it."""
        kept, self._pending = self._pending, []
        try:
            yield self._pending
        finally:
            self._pending = kept

    def check(self, round: int) -> None:
        """Raise `Diverged` if a loss of `round` isn't finite. Waits for the device: for the CPU, where that is free."""
        fresh = takewhile(lambda entry: entry[1] == round, reversed(self._pending))
        if not all(math.isfinite(value.item()) for name, _, value in fresh if name.startswith("loss/")):
            self._blame(self._pending)

    def flush(self) -> dict[str, Tensor]:
        """Return all values of each term since the last flush: flat, float32, on the host.

        Raises, in all processes, where in one of them a value isn't finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return {}
        device = pending[-1][2].device  # what came from a checkpoint is on the CPU
        flat: dict[str, list[Tensor]] = defaultdict(list)
        for name, _, value in pending:
            flat[name].append(value.to(device).reshape(-1).float())
        joined = {name: torch.cat(values) for name, values in flat.items()}
        host = torch.cat(list(joined.values())).cpu().split([v.numel() for v in joined.values()])
        with raise_on_all_ranks():
            if not all(v.isfinite().all() for v in host):
                self._blame(pending)
        return dict(zip(joined, host, strict=True))

    def _blame(self, pending: list[tuple[str, int, Tensor]]) -> None:
        """Raise for the first that isn't finite: what came after it may be its consequence."""
        name, round, value = next(entry for entry in pending if not entry[2].float().isfinite().all())
        kind = "NaN" if value.isnan().any() else "infinite"
        raise Diverged(f"round {round}: {name} is {kind}, training stopped", round)

    def state_dict(self) -> dict[str, Any]:
        """Return what is pending on each rank; called on all of them."""
        everywhere = all_gather_object([value.cpu() for _, _, value in self._pending])
        each = zip(*everywhere, strict=True)
        return {"pending": [(name, round, list(v)) for (name, round, _), v in zip(self._pending, each, strict=True)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take this rank's part of what was pending, on any number of ranks."""
        self._pending = [(name, round, part_of(values)) for name, round, values in state["pending"]]


def part_of(values: list[Tensor]) -> Tensor:
    """Return this rank's part of a term of which each of some ranks had one: as many as there are now, or others."""
    rank, world_size = rank_and_world_size()
    if len(values) == world_size:
        return values[rank]
    if values[0].dim() == 0:  # a mean over equal shares
        return torch.stack(values).mean()
    return torch.cat(values).tensor_split(world_size)[rank]


def relative_spread(fake: Tensor, real: Tensor) -> Tensor:
    """Return the fakes' mean standard deviation over dimensions, relative to the reals'; 1 if reals don't differ."""
    spread, of_reals = fake.std(0).mean(), real.std(0).mean()
    return torch.where(of_reals > 0, spread / of_reals, 1.0)
