"""Loss terms, kept on the device and copied to the host once per logging interval."""

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

MEASURED = ("gradient_norm/", "samples/")  # prefixes of terms that only the last round of an interval has


class Diverged(UserError):
    """A loss term became NaN or infinite, in `round`."""

    status = DIVERGED

    def __init__(self, message: str, round: int | None = None):
        super().__init__(message)
        self.round = round


class LossLog:
    """Log of loss terms, kept as they are (no arithmetic, no copy to the host) until they are flushed.

    every: rounds of an interval. last: the round at which training ends: it is due, too.

    A term is a tensor of any shape. Pending terms are saved in checkpoints, so that a resumed run logs the same means.
    """

    def __init__(self, every: int = 50, last: int | None = None):
        if every < 1:
            raise UserError(f"log_every={every}: give an interval of at least 1 round")
        self.every, self.last, self.round = every, last, 1  # the current round, counted from 1
        self._pending: list[tuple[str, int, Tensor]] = []  # (name, round, value), in the order of logging

    def due(self, round: int) -> bool:
        """Return True if an interval ends with this round, counted from 1."""
        return round % self.every == 0 or round == self.last

    @property
    def measuring(self) -> bool:
        """Return True if an interval ends with the current round."""
        return self.due(self.round)

    def begin(self, round: int) -> bool:
        """Start a round; return True if the interval before it was dropped, as nothing has flushed it."""
        dropped = bool(self._pending) and self.round % self.every == 0
        if dropped:
            self._pending = []
        self.round = round
        return dropped

    def add(self, name: str, value: Tensor) -> None:
        """Log `value` for the current round."""
        self._pending.append((name, self.round, value.detach()))

    @contextmanager
    def capture(self) -> Iterator[list[tuple[str, int, Tensor]]]:
        """Yield the (name, round, value) of terms added in this context, instead of logging them."""
        pending, self._pending = self._pending, []
        try:
            yield self._pending
        finally:
            self._pending = pending

    def check(self, round: int) -> None:
        """Raise `Diverged` if a loss of `round` isn't finite; on a GPU it would synchronize."""
        current = takewhile(lambda entry: entry[1] == round, reversed(self._pending))
        if not all(math.isfinite(value.item()) for name, _, value in current if name.startswith("loss/")):
            self._raise_diverged(self._pending)

    def flush(self) -> dict[str, Tensor]:
        """Return all values of each term since the last flush: flat, float32, on the host.

        Raises `Diverged` on all ranks if a value of any rank isn't finite.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return {}
        if self.round == self.last and self.round % self.every:  # training of more rounds would continue the interval
            self._pending = [entry for entry in pending if not entry[0].startswith(MEASURED)]
        device = pending[-1][2].device  # those of a checkpoint are on the CPU
        flat: dict[str, list[Tensor]] = defaultdict(list)
        for name, _, value in pending:
            flat[name].append(value.to(device).reshape(-1).float())
        concatenated = {name: torch.cat(values) for name, values in flat.items()}
        host = torch.cat(list(concatenated.values())).cpu().split([v.numel() for v in concatenated.values()])
        with raise_on_all_ranks():
            if not all(v.isfinite().all() for v in host):
                self._raise_diverged(pending)
        return dict(zip(concatenated, host, strict=True))

    def _raise_diverged(self, pending: list[tuple[str, int, Tensor]]) -> None:
        """Raise `Diverged` for the first value that isn't finite: later ones may follow from it."""
        name, round, value = next(entry for entry in pending if not entry[2].float().isfinite().all())
        fault = "NaN" if value.isnan().any() else "infinite"
        raise Diverged(f"round {round}: {name} is {fault}, training stopped", round)

    def state_dict(self) -> dict[str, Any]:
        """Return the pending terms of all ranks; a collective."""
        by_rank = all_gather_object([value.cpu() for _, _, value in self._pending])
        by_term = zip(*by_rank, strict=True)
        return {"pending": [(name, round, list(v)) for (name, round, _), v in zip(self._pending, by_term, strict=True)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load this rank's shard of the pending terms, saved by any number of ranks."""
        self._pending = [(name, round, shard_of(values)) for name, round, values in state["pending"]]


def shard_of(values: list[Tensor]) -> Tensor:
    """Return this rank's shard of a term from its values on the saving ranks."""
    rank, world_size = rank_and_world_size()
    if len(values) == world_size:
        return values[rank]
    if values[0].dim() == 0:  # a mean over equal shards
        return torch.stack(values).mean()
    return torch.cat(values).tensor_split(world_size)[rank]


def relative_spread(fake: Tensor, real: Tensor) -> Tensor:
    """Return the standard deviation of fakes relative to reals; 1 if reals don't vary."""
    fake_std, real_std = fake.std(0).mean(), real.std(0).mean()
    return torch.where(real_std > 0, fake_std / real_std, 1.0)
