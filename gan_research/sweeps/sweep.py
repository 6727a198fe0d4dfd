"""The folder of a sweep: what is varied, its trials, and who plays them. Any number of processes may take part."""

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
from gan_research.sweeps.search import Proposal, Search, Task
from gan_research.sweeps.trials import Seen, State, Trial, TrialRun
from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.run_folder import LOCK, TRIAL, is_locked

RECORD = "sweep.json"


@dataclass
class Held:
    """A trial that this process plays. Nobody else does while `lock` is held; the kernel frees it with the process."""

    trial: Trial
    lock: BaseFileLock
    waiting: list[TrialRun]
    """The runs that are still to be started."""

    def release(self) -> None:
        self.lock.release()


@dataclass
class Sweep:
    """What a sweep is: `base` holds for all its runs, `axes` are varied as the config node `search` says.

    command: what it was started by. base: arguments of `gan train`. metric, goal: what its trials are judged by.
    trainer: of each run, as a config node. tags: what its runs are found by, beside the sweep's own name.
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
        record = asdict(self)
        del record["folder"]
        write_atomically(self.folder / RECORD, json.dumps(record, indent=2).encode())

    @classmethod
    def open(cls, folder: Path) -> "Sweep":
        """The sweep that lives in `folder`."""
        try:
            record = renamed_targets(json.loads((folder / RECORD).read_text()))
            axes = [Axis(**axis | {"choices": axis["choices"] and tuple(axis["choices"])}) for axis in record["axes"]]
            return cls(folder, **record | {"axes": axes})
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder} is not the folder of a sweep: it has no {RECORD}") from None
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{folder / RECORD} can't be read ({error}): it was made by another version") from error

    @property
    def task(self) -> Task:
        """What its search is about."""
        return Task(self.axes, self.folder, f"{self.name}-{self.id}", self.metric, self.goal)

    def trials(self) -> list[Trial]:
        """Its trials, by number."""
        trials = (Trial.open(record.parent) for record in self.folder.glob(f"*/{TRIAL}"))
        return sorted(trials, key=lambda trial: trial.number)

    def look(self) -> list[Seen]:
        """Its trials as they are now."""
        with self._alone():
            return [self._seen(trial) for trial in self.trials()]

    def claim(self, search: Search, began: float) -> Held | None:
        """A trial for this process to play: one that nobody plays any more, or failed before `began`, or a new one."""
        with self._alone():
            trials = self.trials()
            for trial in trials:
                left = trial.ended is None or trial.failed_before(began)
                if left and search.wants(trial) and (held := self._held(trial)) is not None:
                    return held
            seen = [self._seen(trial) for trial in trials]
            for one in seen:
                if one.trial.ended:  # who played it may have been killed before telling
                    search.tell(one)
            proposal = search.ask(seen)
            return None if proposal is None else self._held(self._created(len(trials), proposal))

    def close(self, held: Held, search: Search) -> None:
        """Let go of a trial, and tell the search what it came to, if it is over."""
        with self._alone():
            held.release()
            if held.trial.ended:
                search.tell(self._seen(held.trial))

    def _created(self, number: int, proposal: Proposal) -> Trial:
        folder = self.folder / f"{number:03d}"
        return Trial.create(folder, number, proposal.values, proposal.runs, self.metric, proposal.note)

    def _held(self, trial: Trial) -> Held | None:
        """A trial with what is left of it to play, if nobody plays it."""
        lock = FileLock(trial.folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return None
        waiting = [run for run in trial.runs if (end := run.end()) is None or end.status != "finished"]
        for run in waiting:
            run.forget_end()
        return Held(trial, lock, waiting)

    def _seen(self, trial: Trial) -> Seen:
        state: State = trial.ended or ("running" if is_locked(trial.folder / LOCK) else "open")
        return Seen(trial, state, trial.curve, trial.value)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no other process asks, claims or looks."""
        with FileLock(self.folder / LOCK):
            yield


def new_folder(root: Path, name: str) -> Path:
    """A folder for a sweep of that name that isn't there yet."""
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem, *(f"{stem}-{n}" for n in range(2, 1000)))
    return next(root / name for name in names if not (root / name).exists())
