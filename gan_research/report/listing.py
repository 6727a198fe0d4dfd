"""A listing of runs: the state, round, main metric, age and size of each."""

import json
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from gan_research.report.folders import read_folder
from gan_research.report.records import METRICS, Record, State, last_round
from gan_research.utils.files import as_json
from gan_research.utils.run_folder import HISTORY, PLAYER, RUN, was_started


@dataclass(frozen=True)
class Entry:
    """A run in a listing.

    rounds: those of its config. metric, better, value, measured: its main metric, the direction that is better, the
        last value, and the round of that.
    written: the Unix time of the last entry. size: bytes on the disk, with each linked file once.
    """

    folder: Path
    state: State
    reason: str | None
    round: int
    rounds: int | None
    metric: str | None
    better: str | None
    value: float | None
    measured: int | None
    written: float
    size: int

    @property
    def age(self) -> float:
        """Seconds since the last entry."""
        return max(0.0, time.time() - self.written)


def list_runs(folders: Sequence[Path]) -> tuple[list[Entry], list[str]]:
    """Return the runs in these folders, at any depth, the latest first; and notes on what can't be read."""
    found: dict[Path, Entry] = {}
    notes: list[str] = []
    for folder in folders:
        records, more = read_folder(folder)
        notes += more
        for record in records:
            path = Path(record.source)
            if was_started(path) or not (path / RUN).is_file():  # else a study of the theory
                found.setdefault(path.resolve(), entry_of(record))
    return sorted(found.values(), key=lambda entry: -entry.written), list(dict.fromkeys(notes))


def entry_of(record: Record) -> Entry:
    """Return the entry of a run."""
    folder, rounds = Path(record.source), record.config.get("rounds")
    metric, better = main_metric(record)
    points = record.points(METRICS + metric, "round") if metric else []
    return Entry(
        folder=folder,
        state=record.state,
        reason=record.reason,
        round=last_round(record.rows),
        rounds=rounds if isinstance(rounds, int) else None,
        metric=metric if points else None,
        better=better,
        value=points[-1][1] if points else None,
        measured=int(points[-1][0]) if points else None,
        written=max(map(modified, (folder, *(folder / name for name in (RUN, HISTORY, PLAYER))))),
        size=size_of(path for root, _, files in os.walk(folder) for path in (Path(root) / file for file in files)),
    )


def main_metric(record: Record) -> tuple[str | None, str | None]:
    """Return the metric that selects the best checkpoint, else the first that ranks generators; "min" or "max"."""
    ranking = [row["better"] for row in record.rows if isinstance(row.get("better"), dict)]
    better = {column: way for mapping in reversed(ranking) for column, way in mapping.items()}
    main = record.config.get("best")
    main = main if main in better else next(iter(ranking[0]), None) if ranking else None
    return main, better.get(main)


def modified(path: Path) -> float:
    """Return the Unix time at which a path was last changed; 0 if it doesn't exist."""
    with suppress(OSError):
        return path.lstat().st_mtime
    return 0.0


def size_of(paths: Iterable[Path]) -> int:
    """Return the bytes of files, each once however many names it has; links aren't followed."""
    sizes = {}
    for path in paths:
        with suppress(OSError):  # it was removed meanwhile
            file = path.lstat()
            sizes[file.st_dev, file.st_ino] = file.st_size
    return sum(sizes.values())


def json_of(entries: Sequence[Entry]) -> str:
    """Return the entries as a JSON list, with `age` in seconds."""
    return json.dumps([as_json(asdict(entry) | {"age": round(entry.age, 1)}) for entry in entries], indent=2)
