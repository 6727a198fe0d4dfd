"""The cost of a run, in numbers."""

from dataclasses import dataclass, field
from typing import Any

from gan_research.losses import Player

PARTS = ("networks", "regularizers", "data", "loop", "logging", "watching", "evaluation")
"""What the time of a run is made of."""


@dataclass(frozen=True)
class Estimate:
    """Seconds: the median of what was measured, and with the quartiles in its place."""

    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Evaluating:
    """The evaluations of a run; where fewer samples were measured than it takes, the seconds are scaled up."""

    count: int
    seconds: float
    """Of one."""
    reference_seconds: float
    """Of the statistics of the real samples: once, where they aren't cached. No part of the whole."""
    samples: int
    samples_measured: int


@dataclass(frozen=True)
class Cost:
    """What a run takes on a machine, from its first round to its end; starting it is apart."""

    name: str
    device: str
    threads: int
    rounds: int
    kimg: float
    updates: dict[Player, int]
    parameters: dict[Player, dict[str, int]]
    """Of each player: `trainable`, and `total`."""
    flops: dict[str, float]
    """A round's, by who moves, and "regularizers"; over all kinds of rounds."""
    bytes: dict[str, int]
    """Memory on the device, by what it is for; "backward": the most that is kept for backward passes in a round."""
    peak_bytes: int | None
    """The most that was allocated in a round, on a GPU."""
    round: Estimate
    """One round, without what is done at intervals."""
    whole: Estimate
    """The whole run."""
    seconds: dict[str, float]
    """The whole run's, by `PARTS`."""
    logging: dict[str, float]
    """The seconds of logging, by what is logged."""
    evaluating: Evaluating | None
    startup_seconds: float
    rounds_measured: int
    notes: list[str] = field(default_factory=list)

    @property
    def flops_per_round(self) -> float:
        """Of matrix products and convolutions."""
        return sum(self.flops.values())

    @property
    def seconds_per_round(self) -> float:
        return self.round.seconds

    @property
    def seconds_total(self) -> float:
        return self.whole.seconds

    @property
    def memory_bytes(self) -> int:
        """All of `bytes`."""
        return sum(self.bytes.values())

    @property
    def shares(self) -> dict[str, float]:
        """Of the whole run's seconds; they add up to 1."""
        return {part: seconds / self.whole.seconds for part, seconds in self.seconds.items()}

    def as_dict(self) -> dict[str, Any]:
        """All of it in plain values, with units in the keys."""
        evaluating = self.evaluating and {
            "count": self.evaluating.count,
            "seconds_each": self.evaluating.seconds,
            "reference_seconds": self.evaluating.reference_seconds,
            "samples": self.evaluating.samples,
            "samples_measured": self.evaluating.samples_measured,
        }
        return {
            "name": self.name,
            "device": self.device,
            "threads": self.threads,
            "rounds": self.rounds,
            "kimg": self.kimg,
            "updates": dict(self.updates),
            "parameters": {player: dict(count) for player, count in self.parameters.items()},
            "flops_per_round": self.flops_per_round,
            "flops_per_round_of": dict(self.flops),
            "flops_total": self.flops_per_round * self.rounds,
            "memory_bytes": self.memory_bytes,
            "memory_bytes_of": dict(self.bytes),
            "memory_peak_bytes": self.peak_bytes,
            "seconds_per_round": self.round.seconds,
            "seconds_per_round_quartiles": [self.round.low, self.round.high],
            "seconds_total": self.whole.seconds,
            "seconds_total_quartiles": [self.whole.low, self.whole.high],
            "seconds_of": dict(self.seconds),
            "shares": self.shares,
            "logging_seconds_of": dict(self.logging),
            "evaluation": evaluating,
            "startup_seconds": self.startup_seconds,
            "rounds_measured": self.rounds_measured,
            "notes": list(self.notes),
        }
