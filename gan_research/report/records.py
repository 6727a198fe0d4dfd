"""What is known of runs, from wherever they were read."""

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gan_research.utils.run_folder import leaves

Axis = Literal["round", "kimg", "seconds"]
State = Literal["finished", "running", "stopped", "failed"]

CLOCK = "speed/seconds"
"""Of a log row: the seconds that all rounds so far took."""


@dataclass(frozen=True)
class Record:
    """One run. Its name and config are anybody's text."""

    id: str
    name: str
    source: str
    """Its folder, or its web address."""
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    """group -> choice; several are joined by +."""
    seed: int | None = None
    command: str = ""
    """The line of a shell that started it."""
    state: State = "stopped"
    reason: str | None = None
    """Why it failed, or was stopped."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Its history: log rows and evaluation rows, each with its `round`."""
    samples: dict[int, Path] = field(default_factory=dict)
    """round -> a grid of pictures of the same latents."""
    trial: int | None = None
    """Its number in a sweep."""

    def value(self, key: str) -> Any:
        """A choice ("loss"), or a setting by its full name ("optimizer.generator.lr"); None where there is none."""
        return self.facts.get(key)

    def series(self, name: str, axis: str) -> tuple[list[float], list[float]]:
        """x and y of one scalar ("metrics/fid", "loss/generator"), where y is finite and x is known."""
        points = [(x, y) for x, y in self.points(name, axis) if math.isfinite(y)]
        return [x for x, _ in points], [y for _, y in points]

    def points(self, name: str, axis: str) -> list[tuple[float, float]]:
        """(x, y) of one scalar, finite or not, where x is known."""
        rows = [row for row in self.rows if isinstance(row.get(name), int | float)]
        places = [(self.place(row, axis), float(row[name])) for row in rows]
        return [(x, y) for x, y in places if x is not None]

    def place(self, row: dict[str, Any], axis: str) -> float | None:
        """Where a row of its history is on an axis, if that is known."""
        if axis != "seconds":
            return float(row[axis]) if isinstance(row.get(axis), int | float) else None
        if isinstance(row.get(CLOCK), int | float):
            return float(row[CLOCK])
        rounds, seconds = self._clock
        if len(rounds) < 2:
            return None
        beyond = row["round"] - rounds[-1]  # the last rounds may be fewer than a log's interval
        if beyond > 0:
            return float(seconds[-1] + beyond * (seconds[-1] - seconds[-2]) / (rounds[-1] - rounds[-2]))
        return float(np.interp(row["round"], rounds, seconds))

    @cached_property
    def _clock(self) -> tuple[list[float], list[float]]:
        """When which round had been played, by the log: rounds, seconds, both from 0."""
        told = {row["round"]: row[CLOCK] for row in self.rows if isinstance(row.get(CLOCK), int | float)}
        told = {0: 0.0} | told
        return list(told), list(told.values())

    @cached_property
    def facts(self) -> dict[str, Any]:
        """full name -> value: the choices, and every setting; of a part without a choice, its class."""
        settings = {k: v for k, v in leaves(self.config) if not k.endswith(("_target_", "_partial_"))}
        parts = {key: described(node) for key, node in self.config.items() if isinstance(node, dict)}
        return parts | settings | self.choices


def described(node: Any) -> str:
    """A part of a config, as its choice might be called: NonSaturating is non_saturating."""
    if not isinstance(node, dict):
        return "none" if node is None else str(node)
    inner = [described(part) for part in node.values() if isinstance(part, dict)]
    if "_target_" not in node:
        return "+".join(dict.fromkeys(inner)) or "none"
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", str(node["_target_"]).rpartition(".")[2])
    return name.lower() + (f"({','.join(inner)})" if inner else "")
