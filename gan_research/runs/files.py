"""What is in a run's folder. Read without Lightning and torch, which take seconds to import."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

HISTORY = "history.jsonl"
"""The record of the run: a row for each entry, with its `round` and `kimg`."""

LOCK, PLAYER = ".lock", ".player.json"
"""What who plays the run holds, and who that is."""

CLOCKED = ("speed/", "memory/")
"""Prefixes of what differs between two runs of the same game: times, rates and memory."""


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a history, in order; a last line cut short by a kill is left out."""
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            return


def leaves(config: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """(full name, value) of each setting of a run's config: ("optimizer.generator.lr", 0.001)."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without its times, rates and memory: equal for two runs of the same game."""
    return {key: value for key, value in row.items() if not key.startswith(CLOCKED)}


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock in that file; where it can't be tried, yes.

    To look is to hold it for a moment: nobody may want it just then.
    """
    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True
