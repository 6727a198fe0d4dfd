"""A trial: one point of a sweep, its runs and their outcomes; all of it files in one folder."""

import json
import logging
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import NonNegativeInt
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from gan_research.utils.errors import DIVERGED, UserError, one_line
from gan_research.utils.files import write_atomically
from gan_research.utils.reading import read_json
from gan_research.utils.run_folder import END, HISTORY, LOCK, RUN, TRIAL, is_locked, read_history

log = logging.getLogger(__name__)

Status = Literal["finished", "pruned", "failed", "killed", "stopped"]
State = Literal["finished", "running", "failed", "pruned", "open"]
"""State of a trial; open: it isn't over, and no process trains it."""
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True)
class Outcome:
    """The end of a run: `exit` is its process's exit status, `ended` a Unix time."""

    status: Status
    reason: str | None = None
    exit: int = 0
    seconds: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class TrialRun:
    """A run of a trial: the folder in which it creates its own, and the overrides of its point."""

    folder: Path
    overrides: list[str]

    @property
    def log(self) -> Path:
        """The standard output and standard error of its processes."""
        return self.folder / "log.txt"

    def outcome(self) -> Outcome | None:
        """Return its outcome; None if it has not ended."""
        path = self.folder / END
        return read_json(path, Outcome) if path.is_file() else None

    def write_outcome(self, outcome: Outcome) -> None:
        write_atomically(self.folder / END, json.dumps(asdict(outcome), indent=2).encode())

    def run_folder(self) -> Path | None:
        """Return the newest folder that it has created."""
        records = self.folder.glob(f"*/{RUN}")
        return max((path.parent for path in records), key=lambda path: (path / RUN).stat().st_mtime_ns, default=None)

    def is_running(self) -> bool:
        """Return whether a process trains it, which may have survived the one that started it."""
        folder = self.run_folder()
        return folder is not None and is_locked(folder / LOCK)

    def curve(self, metric: str | None) -> dict[int, float]:
        """Return {round: value} of the metric, up to now."""
        folder = self.run_folder()
        if metric is None or folder is None or not (history := folder / HISTORY).is_file():
            return {}
        file = history.stat()
        return read_curve(history, f"metrics/{metric}", file.st_mtime_ns, file.st_size)

    def last_error(self) -> str:
        """Return the last error in its log, else its last line."""
        lines = [line.strip() for line in self.log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
        errors = [line.removeprefix("gan: error: ") for line in lines if line.startswith("gan: error: ")]
        return (errors or lines or ["no output"])[-1]


@lru_cache(maxsize=10_000)
def read_curve(history: Path, name: str, *version: int) -> dict[int, float]:
    """Return {round: value} of a column; `version`: mtime and size of the file."""
    curve: dict[int, float] = {}
    try:
        curve.update(
            (row["round"], row[name]) for row in read_history(history) if isinstance(row.get(name), int | float)
        )
    except UserError as error:  # one damaged file isn't the end of the sweep
        log.warning("%s; later values aren't known", one_line(error))
    return curve


class TrialRecord(TypedDict):
    """The record of a trial; `runs` are the overrides of each."""

    number: NonNegativeInt
    values: dict[str, Any]
    runs: list[list[str]]
    metric: str | None
    note: dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A point {key: value} of a sweep, and its runs: one, or one for each seed.

    note: what the search stored with it.
    """

    folder: Path
    number: int
    values: dict[str, Any]
    runs: list[TrialRun]
    metric: str | None
    note: dict[str, Any]

    @classmethod
    def create(cls, folder: Path, **record: Any) -> "Trial":
        """Write the record of a trial; `runs` are the overrides of each run."""
        write_atomically(folder / TRIAL, json.dumps(record, indent=2).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "Trial":
        record: dict[str, Any] = dict(read_json(folder / TRIAL, TrialRecord))
        runs = [TrialRun(folder / str(i), overrides) for i, overrides in enumerate(record.pop("runs"))]
        return cls(folder, runs=runs, **record)

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes of the runs that have ended."""
        return [outcome for run in self.runs if (outcome := run.outcome()) is not None]

    @property
    def ended(self) -> Literal["finished", "pruned", "failed"] | None:
        """The trial's final state, failed if a run of it neither finished nor was pruned; None if it isn't over."""
        statuses = [outcome.status for outcome in self.outcomes()]
        if "pruned" in statuses:
            return "pruned"
        if set(statuses) - {"finished"}:
            return "failed"
        return "finished" if len(statuses) == len(self.runs) else None

    @property
    def diverged(self) -> bool:
        """A run of it diverged, and would diverge again."""
        return any(outcome.exit == DIVERGED for outcome in self.outcomes())

    @property
    def reason(self) -> str | None:
        """The reason of its failure, from the first run that failed by itself."""
        failures = [outcome for outcome in self.outcomes() if outcome.status != "finished"]
        first = min(failures, key=lambda outcome: (outcome.status == "stopped", outcome.ended), default=None)
        return first.reason if first is not None else None

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(round, mean of the metric over runs), for rounds that all measured runs have reached."""
        curves = [curve for run in self.runs if (curve := run.curve(self.metric))]
        common = set.intersection(*map(set, curves)) if curves else set()
        return [(round, sum(curve[round] for curve in curves) / len(curves)) for round in sorted(common)]

    @property
    def value(self) -> float | None:
        """The last point of `curve`, if all runs are finished."""
        curve = self.curve if self.ended == "finished" else []
        return curve[-1][1] if curve else None

    def failed_before(self, instant: float) -> bool:
        """Return whether it failed before a Unix time."""
        return self.ended == "failed" and max(outcome.ended for outcome in self.outcomes()) < instant


@dataclass(frozen=True)
class TrialSnapshot:
    """The state of a trial at one moment, for searches and tables."""

    trial: Trial
    state: State
    curve: list[tuple[int, float]]
    value: float | None

    @property
    def number(self) -> int:
        return self.trial.number

    @property
    def values(self) -> dict[str, Any]:
        return self.trial.values

    @property
    def text(self) -> str:
        """The point as on a command line."""
        return " ".join(f"{key}={value}" for key, value in self.values.items())
