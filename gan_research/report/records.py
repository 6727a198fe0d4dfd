"""Runs as they were read, from folders or from W&B."""

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeGuard, get_args

import numpy as np

from gan_research.utils.run_folder import CLOCK, leaves, warnings_of

Axis = Literal["round", "kimg", "seconds"]
AXES: tuple[str, ...] = get_args(Axis)
State = Literal["finished", "running", "stopped", "failed"]
METRICS = "metrics/"  # the prefix of a history's columns of metrics
TINY = 1e-9  # the relative difference below which two positions are the same
LARGEST = 1e50  # the number from which values count as infinite: fourth powers of larger ones overflow


@dataclass(frozen=True)
class Record:
    """A run. Its name and config are untrusted text.

    source: the run's folder, or its web address. choices: group -> choice; several are joined by +.
    command: the shell command that started it. reason: why it failed or was stopped.
    origin: "device", "commit", "torch", "data" -> what trained it, of all its parts.
    rows: the history, log rows and evaluation rows, each with its `round`.
    samples: round -> a grid of samples of the same latents. trial: the number of its trial in a sweep.
    notes: what of the run couldn't be read.
    """

    id: str
    name: str
    source: str
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    seed: int | None = None
    command: str = ""
    state: State = "stopped"
    reason: str | None = None
    origin: dict[str, str] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[int, Path] = field(default_factory=dict)
    trial: int | None = None
    notes: list[str] = field(default_factory=list)

    def series(self, name: str, axis: str) -> tuple[list[float], list[float]]:
        """Return x and y of one scalar ("metrics/fid") where y is finite."""
        points = [(x, y) for x, y in self.points(name, axis) if math.isfinite(y)]
        return [x for x, _ in points], [y for _, y in points]

    def points(self, name: str, axis: str) -> list[tuple[float, float]]:
        """Return (x, y) of one scalar, finite or not, where x is known; y beyond LARGEST is infinite."""
        points = [(self.x_of(row, axis), bounded(row[name])) for row in self.rows if is_number(row.get(name))]
        return [(x, y) for x, y in points if x is not None and abs(x) < LARGEST]

    def x_of(self, row: dict[str, Any], axis: str) -> float | None:
        """Return the position of a history's row on an axis; None if it isn't known."""
        known = row.get(CLOCK if axis == "seconds" else axis)
        if is_number(known):
            return float(known)
        rounds, seconds = self._clock
        if axis != "seconds" or len(rounds) < 2:
            return None
        beyond = row["round"] - rounds[-1]  # the last rounds may be fewer than a log's interval
        if beyond > 0:
            return float(seconds[-1] + beyond * (seconds[-1] - seconds[-2]) / (rounds[-1] - rounds[-2]))
        return float(np.interp(row["round"], rounds, seconds))

    @cached_property
    def _clock(self) -> tuple[list[float], list[float]]:
        """The logged rounds, and the seconds after each; both begin with 0."""
        known = {row["round"]: row[CLOCK] for row in self.rows if is_number(row.get(CLOCK))}
        seconds = {0: 0.0} | {round: value for round, value in known.items() if abs(value) < LARGEST}
        return list(seconds), list(seconds.values())

    @cached_property
    def warnings(self) -> list[str]:
        """ "exploded", "collapsed": what was wrong at the last entry of the log."""
        return warnings_of(reversed(self.rows))

    def warnings_at(self, axis: str, position: float) -> list[str]:
        """Return what was wrong at the last entry of the log up to a position."""
        places = ((row, self.x_of(row, axis)) for row in reversed(self.rows))
        return warnings_of(row for row, x in places if x is not None and x <= position * (1 + TINY))

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Full name ("loss", "optimizer.generator.lr") -> value; a part without a choice is named by its class."""
        settings = {k: v for k, v in leaves(self.config) if not k.endswith(("_target_", "_partial_"))}
        parts = {key: described(node) for key, node in self.config.items() if isinstance(node, dict)}
        return parts | settings | self.choices


def described(node: Any) -> str:
    """Return the name that the choice of a part of a config may have: NonSaturating is non_saturating."""
    if not isinstance(node, dict):
        return "none" if node is None else str(node)
    inner = [described(part) for part in node.values() if isinstance(part, dict)]
    if "_target_" not in node:
        return "+".join(dict.fromkeys(inner)) or "none"
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", str(node["_target_"]).rpartition(".")[2])
    return name.lower() + (f"({','.join(inner)})" if inner else "")


def bounded(value: float) -> float:
    """Return a number as a float, infinite from LARGEST on."""
    return float(value) if abs(value) < LARGEST or math.isnan(value) else math.copysign(math.inf, value)


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def last_round(rows: list[dict[str, Any]]) -> int:
    """Return the last round of a history; 0 for an empty one."""
    return max((row["round"] for row in rows), default=0)


def format_x(x: float, axis: str) -> str:
    """Return "round 5,000", "320 kimg" or "33.5 seconds"."""
    return f"round {x:,.0f}" if axis == "round" else f"{x:,.5g} {axis}"
