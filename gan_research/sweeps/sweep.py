"""The folder of a sweep: its record and its trials, which any number of processes may train."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from gan_research._version import __version__
from gan_research.sweeps.points import Axis
from gan_research.sweeps.search import Search, SearchSpec
from gan_research.sweeps.trials import State, Trial, TrialRun, TrialSnapshot
from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.reading import has_shape, read_json, reading
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.run_folder import END, LOCK, TRIAL, is_locked

RECORD = "sweep.json"


@dataclass
class ClaimedTrial:
    """A trial that this process trains; no other does while `lock` is held, which the kernel frees with the process.

    waiting: its runs that are still to be started.
    """

    trial: Trial
    lock: BaseFileLock
    waiting: list[TrialRun]


@dataclass
class Sweep:
    """A sweep: `base` is common to all its runs, the config node `search` varies the `axes`.

    command: the command that started it. base: arguments of `gan train`. metric, goal: by which trials are compared.
    trainer: the config node of each run's trainer. tags: of its runs, in addition to the sweep's name.
    rounds: of each run, None if they differ. total: the number of trials, None if it isn't known.
    """

    folder: Path
    name: str
    command: str
    base: list[str]
    axes: list[Axis]
    search: dict[str, Any]
    pool: dict[str, Any]
    trainer: dict[str, Any]
    metric: str | None = None
    goal: str | None = None
    rounds: int | None = None
    total: int | None = None
    tags: list[str] = field(default_factory=list)
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    version: str = __version__

    def create(self) -> None:
        """Make the folder, and write the record."""
        try:
            self.folder.mkdir(parents=True)
        except OSError as error:
            raise UserError(f"the sweep's folder {self.folder} can't be made: {error.strerror}") from None
        self.write()

    def write(self) -> None:
        """Write the record."""
        record = {key: value for key, value in asdict(self).items() if key != "folder"}
        write_atomically(self.folder / RECORD, json.dumps(record, indent=2).encode())

    @classmethod
    def open(cls, folder: Path) -> "Sweep":
        """Read the sweep in `folder`."""
        path = folder / RECORD
        if not path.is_file():
            raise UserError(f"{folder} is not the folder of a sweep: it has no {RECORD}")
        record = read_json(path, dict[str, Any])
        with reading(path):
            return has_shape(renamed_targets(record) | {"folder": folder}, cls)

    @property
    def spec(self) -> SearchSpec:
        """The problem of its search."""
        return SearchSpec(self.axes, self.folder, f"{self.name}-{self.id}", self.metric, self.goal)

    def trials(self) -> list[Trial]:
        """Return its trials, by number."""
        trials = (Trial.open(record.parent) for record in self.folder.glob(f"*/{TRIAL}"))
        return sorted(trials, key=lambda trial: trial.number)

    def snapshot(self) -> list[TrialSnapshot]:
        """Return the present state of its trials."""
        with self._lock():
            return [snapshot(trial) for trial in self.trials()]

    def claim(self, search: Search, started: float) -> ClaimedTrial | None:
        """Return a trial for this process to train: one that was left, one that failed before `started`, or a new one.

        None: there is none at the moment.
        """
        with self._lock():
            trials = self.trials()
            for trial in trials:
                unfinished = trial.ended is None or trial.failed_before(started)
                if unfinished and search.should_retry(trial) and (claimed := claim(trial)) is not None:
                    return claimed
            snapshots = [snapshot(trial) for trial in trials]
            for one in snapshots:
                if one.trial.ended:  # its process may have been killed before that
                    search.tell(one)
            if (proposal := search.ask(snapshots)) is None:
                return None
            folder = self.folder / f"{len(trials):03d}"
            return claim(Trial.create(folder, number=len(trials), metric=self.metric, **vars(proposal)))

    def release(self, claimed: ClaimedTrial, search: Search) -> None:
        """Release a trial, and tell the search its result if it is over."""
        with self._lock():
            claimed.lock.release()
            if claimed.trial.ended:
                search.tell(snapshot(claimed.trial))

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Let no other process claim, release or read trials."""
        with FileLock(self.folder / LOCK):
            yield


def claim(trial: Trial) -> ClaimedTrial | None:
    """Return a trial with its unfinished runs; None if another process trains it."""
    lock = FileLock(trial.folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    waiting = [run for run in trial.runs if (outcome := run.outcome()) is None or outcome.status != "finished"]
    for run in waiting:
        (run.folder / END).unlink(missing_ok=True)
    return ClaimedTrial(trial, lock, waiting)


def snapshot(trial: Trial) -> TrialSnapshot:
    state: State = trial.ended or ("running" if is_locked(trial.folder / LOCK) else "open")
    return TrialSnapshot(trial, state, trial.curve, trial.value)


def new_folder(root: Path, name: str) -> Path:
    """Return a folder for a sweep of that name that doesn't exist yet."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem, *(f"{stem}-{n}" for n in range(2, 1000)))
    return next(root / name for name in names if not (root / name).exists())
