"""Terms of the losses, gathered on the device and brought to the host once per logging interval."""

import math
from collections import defaultdict
from typing import Any

import torch
from torch import Tensor

from gan_research.errors import UserError


class Diverged(UserError):
    """A loss term became NaN or infinite."""


class Recorder:
    """Keeps each round's terms as they are (no arithmetic, no copy to the host) until they are flushed.

    A term is a tensor of any shape: what is flushed is the mean of each term over the interval. What is pending
    travels in checkpoints, so that a resumed run flushes the same means.
    """

    def __init__(self, every: int = 50):
        if every < 1:
            raise UserError(f"log_every={every}: give an interval of at least 1 round")
        self.every = every
        self._pending: dict[str, list[tuple[int, Tensor]]] = defaultdict(list)

    def due(self, round: int) -> bool:
        """Whether the interval ends with the `round`-th round (counted from 1)."""
        return round % self.every == 0

    def add(self, name: str, value: Tensor, round: int) -> None:
        """Keep `value`, as of `round`."""
        self._pending[name].append((round, value.detach()))

    def check(self, round: int) -> None:
        """Raise `Diverged` if a loss of `round` isn't finite. Waits for the device: for the CPU, where that is free."""
        losses = [e[-1][1] for name, e in self._pending.items() if name.startswith("loss/") and e[-1][0] == round]
        if losses and not torch.stack(losses).isfinite().all():
            self.flush()

    def flush(self) -> dict[str, Tensor]:
        """All values of each term since the last flush: flat, float32, on the host. Raises at one that isn't finite."""
        pending, self._pending = self._pending, defaultdict(list)
        flat = {name: torch.cat([v.reshape(-1).float() for _, v in entries]) for name, entries in pending.items()}
        if not flat:
            return {}
        host = torch.cat(list(flat.values())).cpu().split([v.numel() for v in flat.values()])
        values = dict(zip(flat, host, strict=True))
        if not all(math.isfinite(v.sum()) for v in values.values()):
            self._blame(pending)
        return values

    def _blame(self, pending: dict[str, list[tuple[int, Tensor]]]) -> None:
        bad = [(round, name, v) for name, entries in pending.items() for round, v in entries if not v.isfinite().all()]
        if bad:
            round, name, value = min(bad, key=lambda entry: entry[0])
            kind = "NaN" if value.isnan().any() else "infinite"
            raise Diverged(f"round {round}: {name} is {kind}, training stopped")

    def state_dict(self) -> dict[str, Any]:
        return {name: [(round, v.cpu()) for round, v in entries] for name, entries in self._pending.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._pending = defaultdict(list, {name: list(entries) for name, entries in state.items()})
