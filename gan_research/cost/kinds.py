"""The kinds of rounds that a game consists of: which penalties are due in them."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gan_research.losses import Player
from gan_research.training.gan import GAN

LONGEST = 1000
"""Rounds that are looked at for how lazy penalties coincide."""

NOTHING: dict[str, Callable[..., Any]] = {
    "due": lambda update: False,
    "inputs": lambda images, draws, call: images,
    "after_step": lambda player, network: None,
}
"""What a regulariser does when it is left out, by method."""


@dataclass(frozen=True)
class Kind:
    """Rounds in which the same penalties are due; `round` is one of them, counted from 0."""

    round: int
    share: float
    """Of all rounds; 0 where the game has no such rounds."""
    regularised: bool
    """Whether any regulariser does anything in them."""


def kinds_of(gan: GAN, rounds: int) -> list[Kind]:
    """The kinds of a game's rounds, whose shares add up to 1; and last, as the bare game, that without regularisers."""
    regularizers: list[Any] = list(gan.regularizers.values())
    always = any(hasattr(r, "inputs") or hasattr(r, "after_step") for r in regularizers)
    period = min(rounds, LONGEST, math.lcm(*(r.every for r in regularizers)))
    found: dict[Any, int] = {}
    counts: Counter[Any] = Counter()
    for round in range(period):
        pattern = tuple(due_in(gan, player, round) for player in steps_of(gan))
        found.setdefault(pattern, round)
        counts[pattern] += 1
    kinds = [
        Kind(
            round,
            counts[pattern] / period,
            always or any(due for player in pattern for update in player for due in update),
        )
        for pattern, round in found.items()
    ]
    bare = [kind for kind in kinds if not kind.regularised] or [Kind(0, 0.0, False)]
    return [kind for kind in kinds if kind.regularised] + bare


def due_in(gan: GAN, player: Player, round: int) -> tuple[tuple[bool, ...], ...]:
    """Which of the player's penalties are due in its updates in a round; the order of the updates doesn't matter."""
    steps = steps_of(gan)[player]
    penalties: list[Any] = [r for r in gan.regularizers.values() if hasattr(r, f"{player}_penalty")]
    return tuple(sorted(tuple(bool(r.due(u)) for r in penalties) for u in range(round * steps, (round + 1) * steps)))


def steps_of(gan: GAN) -> dict[Player, int]:
    """Each player's updates in a round."""
    return {"discriminator": gan.schedule.discriminator_steps, "generator": gan.schedule.generator_steps}


def set_up(gan: GAN, kind: Kind) -> None:
    """Let the next round be one of this kind. The game's own count of updates is lost."""
    gan.updates = {player: kind.round * steps for player, steps in steps_of(gan).items()}
    for regularizer in gan.regularizers.values():
        for name, nothing in NOTHING.items():
            if kind.regularised:
                vars(regularizer).pop(name, None)
            elif hasattr(regularizer, name):
                setattr(regularizer, name, nothing)
