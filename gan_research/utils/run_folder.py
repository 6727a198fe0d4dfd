"""The layout of a run's folder: names of what is in it, and the formats that are read without torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gan_research.utils.renamed import renamed_targets

RUN, CONFIG = "run.json", "config.yaml"
"""When, by which command and on what the run was started, and its resolved config."""

HISTORY, PROTOCOLS = "history.jsonl", "protocols.json"
"""The record of the run: a row for each entry, with its `round` and `kimg`; and how its metrics were measured.

A row of metrics names its protocol by a fingerprint, with which PROTOCOLS has it once: fingerprint -> `protocol` and
`better`, which metrics are better low or high. Rows of versions before have both in them.
"""

CHECKPOINTS, LAST, PREVIOUS = "checkpoints", "last.ckpt", "previous.ckpt"
"""The folder of checkpoints, and in it the last one, and the one before, which is used if the last one is damaged."""

SAMPLES, CRASHES = "samples", "crash"
"""The folders of sample grids and of crash reports, each named by its round."""

LOCK, PLAYER = ".lock", ".player.json"
"""The lock of a run, a trial or a sweep, which the process that works on it holds, and a run's process."""

TRIAL, END = "trial.json", "end.json"
"""In a sweep: in a trial's folder what it trains, and in the folder of each of its processes how that ended."""

CLOCKED = ("speed/", "memory/")
"""Prefixes of what differs between two runs of the same game: times, rates and memory."""


def of_round(round: int, suffix: str) -> str:
    """Return the name of a file that is written after a round: round_00000050.png."""
    return f"round_{round:08d}{suffix}"


def by_round(folder: Path, suffix: str) -> dict[int, Path]:
    """Return round -> file, of the files in `folder` that are named by their rounds."""
    found = sorted(folder.glob(f"round_*{suffix}"))
    return {int(number): path for path in found if (number := path.stem.removeprefix("round_")).isdigit()}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a history as they were written, in order; a last line cut short by a kill is left out."""
    for line in path.read_text().splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return
        yield renamed_targets(row)


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a history, in order, with the whole `protocol` and `better` in rows of metrics."""
    known = read_protocols(path.parent)
    for row in read_rows(path):
        if isinstance(row, dict) and isinstance(mark := row.get("protocol"), str):
            row = {key: value for key, value in row.items() if key != "protocol"} | known.get(mark, {})
        yield row


def read_protocols(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the protocols of a run by their fingerprints; none where they can't be read."""
    try:
        return dict(renamed_targets(json.loads((folder / PROTOCOLS).read_text())))
    except (OSError, ValueError, TypeError):
        return {}


def leaves(config: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (full name, value) of each setting of a run's config: ("optimizer.generator.lr", 0.001)."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its times, rates and memory: equal for two runs of the same game."""
    return {key: value for key, value in row.items() if not key.startswith(CLOCKED)}


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock in that file; True if that can't be tried.

    To look is to hold it for a moment: nobody may want it just then.
    """
    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True
