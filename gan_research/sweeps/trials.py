"""A trial: one point of a sweep, the runs that play it, and what came of them. All of it is files in one folder."""

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from gan_research.utils.errors import DIVERGED
from gan_research.utils.files import write_atomically
from gan_research.utils.run_folder import END, HISTORY, LOCK, RUN, TRIAL, is_locked, read_history

Status = Literal["finished", "pruned", "failed", "killed", "stopped"]
State = Literal["open", "running", "finished", "pruned", "failed"]
"""Of a trial; open: something of it is left to play, and nobody plays it."""


@dataclass(frozen=True)
class End:
    """How a run of a trial ended: `exit` is its process's exit status, `ended` a Unix time."""

    status: Status
    reason: str | None = None
    exit: int = 0
    seconds: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True)
class TrialRun:
    """One run of a trial: the folder in which it makes its own, and the overrides that are the point."""

    folder: Path
    overrides: list[str]

    @property
    def log(self) -> Path:
        """What its processes wrote to standard output and standard error."""
        return self.folder / "log.txt"

    def end(self) -> End | None:
        """How it ended; None where it hasn't."""
        try:
            return End(**json.loads((self.folder / END).read_text()))
        except FileNotFoundError:
            return None

    def write_end(self, end: End) -> None:
        write_atomically(self.folder / END, json.dumps(asdict(end), indent=2).encode())

    def forget_end(self) -> None:
        (self.folder / END).unlink(missing_ok=True)

    def home(self) -> Path | None:
        """The newest folder that it has made."""
        records = sorted(self.folder.glob(f"*/{RUN}"), key=lambda path: path.stat().st_mtime_ns)
        return records[-1].parent if records else None

    def being_played(self) -> bool:
        """Whether a process plays it now: one that outlives who started it."""
        home = self.home()
        return home is not None and is_locked(home / LOCK)

    def curve(self, metric: str | None) -> dict[int, float]:
        """round -> the metric, as far as it has been measured."""
        home = self.home()
        if metric is None or home is None or not (history := home / HISTORY).is_file():
            return {}
        found = history.stat()
        return measured(history, f"metrics/{metric}", found.st_mtime_ns, found.st_size)

    def last_error(self) -> str:
        """The last thing that its log says."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        said = [line.removeprefix("gan: error: ") for line in lines if line.startswith("gan: error: ")]
        return (said or lines or ["it said nothing"])[-1]


@lru_cache(maxsize=10_000)
def measured(history: Path, name: str, *state: int) -> dict[int, float]:
    """round -> that metric, in a history as its `state` is now."""
    return {row["round"]: row[name] for row in read_history(history) if row.get(name) is not None}


@dataclass(frozen=True)
class Trial:
    """One point of a sweep: {key: value}, and its runs: one, or one for each seed."""

    folder: Path
    number: int
    values: dict[str, Any]
    runs: list[TrialRun]
    metric: str | None
    note: dict[str, Any]
    """What the search wants to know of it again."""

    @classmethod
    def create(
        cls, folder: Path, number: int, values: dict[str, Any], runs: list[list[str]], metric: str | None, note: Any
    ) -> "Trial":
        record = {"number": number, "values": values, "runs": runs, "metric": metric, "note": note}
        write_atomically(folder / TRIAL, json.dumps(record, indent=2).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> "Trial":
        record = json.loads((folder / TRIAL).read_text())
        runs = [TrialRun(folder / str(i), overrides) for i, overrides in enumerate(record.pop("runs"))]
        return cls(folder, runs=runs, **record)

    @property
    def ended(self) -> Literal["finished", "pruned", "failed"] | None:
        """What it came to: finished where all its runs are, failed where one ended in another way; None: not yet."""
        ends = [run.end() for run in self.runs]
        statuses = {end.status for end in ends if end is not None}
        if "pruned" in statuses:
            return "pruned"
        if statuses - {"finished"}:
            return "failed"
        return "finished" if None not in ends else None

    @property
    def diverged(self) -> bool:
        """Whether a game of it did, and would do so again."""
        return any((end := run.end()) is not None and end.exit == DIVERGED for run in self.runs)

    @property
    def reason(self) -> str | None:
        """Why it failed: of several runs, what the first to fail of itself said."""
        ends = [end for run in self.runs if (end := run.end()) is not None and end.status != "finished"]
        ends.sort(key=lambda end: (end.status == "stopped", end.ended))
        return ends[0].reason if ends else None

    @property
    def curve(self) -> list[tuple[int, float]]:
        """(round, the metric's mean over runs), at the rounds that all runs which have begun to be measured reached."""
        curves = [curve for run in self.runs if (curve := run.curve(self.metric))]
        common = set.intersection(*map(set, curves)) if curves else set()
        return [(round, sum(curve[round] for curve in curves) / len(curves)) for round in sorted(common)]

    @property
    def value(self) -> float | None:
        """The metric's last value, its mean over runs, once all are finished."""
        curve = self.curve if self.ended == "finished" else []
        return curve[-1][1] if curve else None

    def failed_before(self, instant: float) -> bool:
        """Whether it failed, and before that Unix time."""
        ends = [end.ended for run in self.runs if (end := run.end()) is not None]
        return self.ended == "failed" and max(ends) < instant


@dataclass(frozen=True)
class Seen:
    """A trial as it was at one moment: what searches decide by, and people see.

    curve: (round, the metric so far), its mean over runs. value: its last one, of a finished trial.
    """

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
