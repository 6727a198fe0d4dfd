"""What a round takes by count: floating point operations, and memory for its backward passes."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from gan_research.cost.kinds import Kind, KindOfRound
from gan_research.data import Data
from gan_research.training.gan import GAN
from gan_research.training.schedule import Update


@dataclass(frozen=True)
class Count:
    """Of one round."""

    flops: dict[str, int]
    """By who moves: "discriminator", "generator", or "discriminator+generator" where both do at once."""
    saved_bytes: int
    """The most that was kept for backward at one time."""


def count(gan: GAN, data: Data, trainer: pl.Trainer, kinds: list[Kind]) -> list[Count]:
    """Of a round of each kind, played by a game that isn't compiled. It is played on from there to no other end."""
    play = gan.training_step
    plan = gan.schedule.plan
    counts: list[Count] = []
    kind_of_round: list[KindOfRound] = []

    def counted(batch: Any, batch_idx: int) -> None:
        if not counts:
            kind_of_round.append(KindOfRound(gan))
        kind_of_round[0].set(kinds[len(counts)])
        saved = Saved([*gan.parameters(), *gan.buffers()])
        flops: Counter[str] = Counter()
        with FlopCounter() as counter, saved:
            gan.schedule.plan = lambda round: by_update(plan(round), counter, flops)  # type: ignore[method-assign,assignment,return-value]
            play(batch, batch_idx)
        counts.append(Count(dict(flops), saved.most))

    gan.training_step = counted  # type: ignore[method-assign]
    gan.rounds = len(kinds)
    trainer.fit(gan, datamodule=data)
    return counts


class FlopCounter(FlopCounterMode):
    """Torch's, without asking which layer it was: its hooks for that refuse `autograd.grad` with a graph."""

    def __init__(self) -> None:
        super().__init__(display=False)
        self.mod_tracker: Any = Unplaced()


class Unplaced(nullcontext[None]):
    """Where all is counted as the whole's."""

    parents = frozenset({"Global"})


def by_update(plan: Iterable[Update], counter: FlopCounter, flops: Counter[str]) -> Iterator[Update]:
    """Yield the updates; what is counted during one is added to `flops`, by its players."""
    for players in plan:
        before = counter.get_total_flops()
        yield players
        flops["+".join(players)] += counter.get_total_flops() - before


class Saved(saved_tensors_hooks):
    """Inside, the bytes that autograd keeps for backward, each storage once; `most` of them at one time.

    known: what is kept anyway, such as parameters, and not counted.
    """

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__(self._keep, lambda kept: kept.tensor)
        self._known = {address(tensor) for tensor in known}
        self._holders: Counter[int] = Counter()
        self._now = self.most = 0

    def _keep(self, tensor: Tensor) -> "Kept":
        return Kept(tensor, self)

    def add(self, tensor: Tensor, holders: int) -> None:
        """One holder of the tensor's storage more, or less."""
        place = address(tensor)
        if place in self._known:
            return
        before = self._holders[place]
        self._holders[place] += holders
        if not before or not self._holders[place]:
            self._now += holders * tensor.untyped_storage().nbytes()
            self.most = max(self.most, self._now)


class Kept:
    """A tensor that autograd keeps, until it lets this go."""

    def __init__(self, tensor: Tensor, saved: Saved) -> None:
        self.tensor, self.saved = tensor, saved
        saved.add(tensor, 1)

    def __del__(self) -> None:
        self.saved.add(self.tensor, -1)


def address(tensor: Tensor) -> int:
    """Where its storage is; 0 of one without bytes."""
    return tensor.untyped_storage().data_ptr()


def size(tensors: Iterable[Any]) -> int:
    """Bytes of the tensors among these, each storage once."""
    found = {address(t): t.untyped_storage().nbytes() for t in tensors if isinstance(t, torch.Tensor)}
    return sum(found.values())
