"""The kinds of rounds that a game consists of: which penalties are due in them."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gan_research.losses.base import PLAYERS, Player
from gan_research.regularizers import Regularizer
from gan_research.training.gan import GAN
from gan_research.training.objective import Objective

LONGEST = 1000
"""Rounds that are looked at for how lazy penalties coincide."""


@dataclass(frozen=True)
class Kind:
    """Rounds in which the same penalties are due; `round` is one of them, counted from 0."""

    round: int
    share: float
    """Of all rounds; 0 where the game has no such rounds."""
    regularised: bool
    """Whether any regulariser does anything in them."""


def kinds_of(gan: GAN, rounds: int) -> list[Kind]:
    """Return the kinds of a game's rounds, whose shares add up to 1; and last the bare game's, without components."""
    objective = gan.objective
    always = bool(objective.augmentations) or any(acts_after_step(r) for r in objective.regularizers.values())
    period = min(rounds, LONGEST, math.lcm(*(r.every for r in objective.regularizers.values())))
    found: dict[Any, int] = {}
    counts: Counter[Any] = Counter()
    for round in range(period):
        pattern = tuple(due_in(gan, player, round) for player in PLAYERS)
        found.setdefault(pattern, round)
        counts[pattern] += 1
    kinds = [
        Kind(round, counts[pattern] / period, always or any(due for player in pattern for due in player))
        for pattern, round in found.items()
    ]
    bare = [kind for kind in kinds if not kind.regularised] or [Kind(0, 0.0, False)]
    return [kind for kind in kinds if kind.regularised] + bare


def acts_after_step(regularizer: Regularizer) -> bool:
    """Return whether a regularizer does anything after an optimizer step."""
    return type(regularizer).after_step is not Regularizer.after_step


def due_in(gan: GAN, player: Player, round: int) -> tuple[tuple[str, ...], ...]:
    """Return the penalties due in each of the player's updates of a round; the order of the updates doesn't matter."""
    due = [gan.objective.due(player, update) for update in gan.schedule.updates_in(player, round)]
    return tuple(sorted(tuple(name for name, _ in penalties) for penalties in due))


class KindOfRound:
    """Makes the next round of a game one of a kind. The game's own count of updates is lost."""

    def __init__(self, gan: GAN) -> None:
        whole = gan.objective
        bare = Objective(whole.forward, whole.networks, whole.loss, whole.prior, {}, log=whole.log)
        self.gan, self.objectives = gan, {True: whole, False: bare}

    def set(self, kind: Kind) -> None:
        """Let the next round be of this kind."""
        for player in PLAYERS:
            self.gan.updates[player] = kind.round * self.gan.schedule.steps(player)
        self.gan.objective = self.objectives[kind.regularised]
