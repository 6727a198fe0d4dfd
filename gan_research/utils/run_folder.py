"""The layout of a run's folder: names of files, and formats that are read without torch."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gan_research.utils.renamed import renamed_targets

RUN, CONFIG = "run.json", "config.yaml"  # the start of the run (time, command, machine), and its resolved config
HISTORY, PROTOCOLS = "history.jsonl", "protocols.json"
"""The record of the run, rows with `round` and `kimg`; and the protocols of its metrics.

A row of metrics names its protocol by a fingerprint; PROTOCOLS maps it to `protocol` and `better`, which metrics are
better low or high. Rows of earlier versions contain both.
"""
CHECKPOINTS, LAST, PREVIOUS = "checkpoints", "last.ckpt", "previous.ckpt"
"""The folder of checkpoints, the last one, and the one before it."""
SAMPLES, CRASHES = "samples", "crash"  # the folders of sample grids and of crash reports, each named by its round
LOCK, PLAYER = ".lock", ".player.json"  # the lock of a run, trial or sweep, and the process that holds a run's
TRIAL, END = "trial.json", "end.json"  # a trial's point in a sweep, and the outcome of each of its processes
WARNINGS = {"health/explosion": "exploded", "health/collapse": "collapsed"}  # a column of a history -> the meaning of 1
CLOCKED = ("speed/", "memory/")  # prefixes of columns that differ between two runs of the same game


def of_round(round: int, suffix: str) -> str:
    """Return the name of a file that is written after a round: round_00000050.png."""
    return f"round_{round:08d}{suffix}"


def by_round(folder: Path, suffix: str) -> dict[int, Path]:
    """Return round -> file of the files in `folder` that are named by rounds."""
    found = sorted(folder.glob(f"round_*{suffix}"))
    return {int(number): path for path in found if (number := path.stem.removeprefix("round_")).isdigit()}


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a history as written; a last line cut short by a kill is left out."""
    for line in path.read_text("utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            return
        yield renamed_targets(row)


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a history, with `protocol` and `better` in rows of metrics."""
    known = read_protocols(path.parent)
    for row in read_rows(path):
        if isinstance(row, dict) and isinstance(mark := row.get("protocol"), str):
            row = {key: value for key, value in row.items() if key != "protocol"} | known.get(mark, {})
        yield row


def read_protocols(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the protocols of a run by their fingerprints; none where they can't be read."""
    try:
        return dict(renamed_targets(json.loads((folder / PROTOCOLS).read_bytes())))
    except (OSError, ValueError, TypeError):
        return {}


def leaves(config: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (full name, value) of each setting of a run's config: ("optimizer.generator.lr", 0.001)."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def warnings_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the warnings of the first row that has any of their columns; rows come last first."""
    for row in rows:
        if any(column in row for column in WARNINGS):
            return [word for column, word in WARNINGS.items() if row.get(column) == 1]
    return []


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its times, rates and memory: equal for two runs of the same game."""
    return {key: value for key, value in row.items() if not key.startswith(CLOCKED)}


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file; True if that can't be tried.

    The lock is taken for a moment: no other process may try to get it meanwhile.
    """
    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True
