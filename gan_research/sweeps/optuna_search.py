"""A search by Optuna, trial by trial; its study is a file in the sweep's folder, or a database."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import PositiveInt
from sqlalchemy.exc import SQLAlchemyError

from gan_research.sweeps.points import Axis, as_overrides
from gan_research.sweeps.search import Proposal, Search, SearchSpec, by_config_key, merge_axes
from gan_research.sweeps.trials import TrialSnapshot
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.rng import stream_seed

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.WARNING)


class KernelLock(JournalFileOpenLock):
    """The journal's lock, freed by the kernel if its process is killed; a half-written line is then removed."""

    def __init__(self, journal: Path):
        self.journal = journal
        self._lock = FileLock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        with self.journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
            complete = file.read() in (b"", b"\n")
        if not complete:
            os.truncate(self.journal, self.journal.read_bytes().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._lock.release()


class OptunaSearch(Search):
    """Trials that Optuna proposes, and prunes by their intermediate values.

    Seeds (seed=0,1,2) aren't searched: each trial trains all of them, and its value is their mean.

    space: axes, as {key: values in Hydra's sweep syntax}; axes of the command line replace them or are added.
    trials: number over all processes, including those that failed, until they are retried; of a finite space, no more
        than its points, each once.
    sampler: makes a sampler of a seed, such as optuna.samplers.TPESampler. pruner: one of optuna.pruners, asked at each
        evaluation; its steps are rounds.
    storage: the URL of a database (postgresql://..., sqlite:///...) for hundreds of processes; None: study.journal in
        the sweep's folder, good for tens. All processes need to see the folder in either case.
    seed: of the sampler.
    """

    total: int

    def __init__(
        self,
        spec: SearchSpec,
        sampler: Callable[..., optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner,
        space: dict[str, str] | None = None,
        trials: PositiveInt = 50,
        storage: str | None = None,
        seed: int = 0,
    ):
        if spec.metric is None:
            raise UserError("sweep=optuna needs a metric to optimize: add metrics=...")
        axes = merge_axes(space, spec.axes)
        self.seeds = next((axis for axis in axes if axis.name == "seed"), None)
        if self.seeds is not None and self.seeds.choices is None:
            raise UserError("seed is an interval: list the seeds of each trial, seed=0,1,2")
        self.runs_per_trial = len(self.seeds.choices or ()) if self.seeds is not None else 1
        self.space = [axis for axis in axes if axis.name != "seed"]
        if not self.space:
            raise UserError("sweep=optuna has nothing to search: give a key values to choose from, or an interval")
        self.points = number_of_points(self.space)
        self.total = trials if self.points is None else min(trials, self.points)
        self.seed, self._sampler = seed, sampler
        self._spec, self._pruner = spec, pruner
        self._database = database(storage) if storage is not None else None

    @cached_property
    def storage(self) -> BaseStorage:
        """The database of the study, or its journal in the sweep's folder."""
        if self._database is not None:
            return self._database
        journal = self._spec.folder / "study.journal"
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=KernelLock(journal)))

    @cached_property
    def study(self) -> optuna.Study:
        return optuna.create_study(
            study_name=self._spec.name,
            storage=self.storage,
            pruner=self._pruner,
            direction="minimize" if self._spec.goal == "min" else "maximize",
            load_if_exists=True,
        )

    def ask(self, trials: Sequence[TrialSnapshot]) -> Proposal | None:
        with reachable():
            return self._ask(trials)

    def _ask(self, trials: Sequence[TrialSnapshot]) -> Proposal | None:
        if len(trials) >= self.total:
            return None
        self.study.sampler = self._sampler(seed=sampler_seed(self.seed, len(trials)))
        known = {trial.trial.note["study"] for trial in trials}
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        # one without a record: its process was killed before it wrote that
        lost = next((trial for trial in running if trial.number not in known), None)
        trial = optuna.trial.Trial(self.study, lost._trial_id) if lost else self.study.ask()
        values = {axis.key: suggest(trial, axis) for axis in self.space}
        if self.points is not None and by_config_key(values) in (tried := [trial.values for trial in trials]):
            self.study.tell(trial, state=TrialState.FAIL)
            values = self._untried(tried)
            self.study.enqueue_trial(values)
            trial = self.study.ask()
            values = {axis.key: suggest(trial, axis) for axis in self.space}
        point = as_overrides(values)
        runs = [[*point, f"seed={seed}"] for seed in self.seeds.choices or ()] if self.seeds else [point]
        return Proposal(by_config_key(values), runs, {"study": trial.number})

    def _untried(self, tried: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a point of a finite space that no trial has, at random."""
        random = Random(sampler_seed(self.seed, len(tried)))
        while True:
            point = {
                axis.key: random.choice(axis.choices) if axis.choices else random.randint(int(axis.low), int(axis.high))
                for axis in self.space
            }
            if by_config_key(point) not in tried:
                return point

    def should_prune(self, trial: TrialSnapshot, trials: Sequence[TrialSnapshot]) -> bool:
        with reachable():
            if self._frozen(trial).state is not TrialState.RUNNING:  # a retry, which ends as a trial of its own
                return False
            self._report(trial)
            return self.study.pruner.prune(self.study, self._frozen(trial))

    def tell(self, trial: TrialSnapshot) -> None:
        with reachable():
            self._tell(trial)

    def _tell(self, trial: TrialSnapshot) -> None:
        frozen = self._frozen(trial)
        if frozen.state is TrialState.RUNNING:
            self._report(trial)
            if trial.state == "finished" and trial.value is not None:
                self.study.tell(frozen.number, trial.value)
            else:
                self.study.tell(frozen.number, state=TrialState.PRUNED if trial.state == "pruned" else TrialState.FAIL)
        elif frozen.state is TrialState.FAIL and trial.value is not None:
            retries = [other.user_attrs.get("again") for other in self.study.get_trials(deepcopy=False)]
            if frozen.number not in retries:  # Optuna can't change a failed trial
                same: dict[str, Any] = {"params": frozen.params, "distributions": frozen.distributions}
                curve, attributes = intermediate_values(trial), {"again": frozen.number}
                retry = create_trial(value=trial.value, intermediate_values=curve, user_attrs=attributes, **same)
                self.study.add_trial(retry)

    def _report(self, trial: TrialSnapshot) -> None:
        """Write the new points of a trial's curve to the study."""
        frozen = self._frozen(trial)
        for round, value in intermediate_values(trial).items():
            if round not in frozen.intermediate_values:
                self.storage.set_trial_intermediate_value(frozen._trial_id, round, value)

    def _frozen(self, trial: TrialSnapshot) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.trial.note["study"]]


def database(url: str) -> RDBStorage:
    """Return the database at a URL; raise a UserError, without the URL's password, if no study can be kept there."""
    try:
        return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})  # it connects again if its server was restarted
    except Exception as error:  # its class depends on the database
        reason = reason_of(error)
        if isinstance(error, ImportError) and url.startswith(("postgresql:", "postgresql+psycopg:")):
            reason = "it needs psycopg: pip install 'gan_research[postgresql]'"
        shown = re.sub(r"(://[^:/@]*:).*@", r"\1***@", url)
        raise UserError(f"no study can be kept in {shown}: {reason}") from error


def reason_of(error: Exception) -> str:
    """Return the message of the database's driver, which SQLAlchemy and Optuna wrap, on one line."""
    cause = error.__cause__ or error
    return one_line(getattr(cause, "orig", None) or cause)


@contextmanager
def reachable() -> Iterator[None]:
    """Raise a UserError if the study's database can't be reached."""
    try:
        yield
    except (StorageInternalError, SQLAlchemyError) as error:
        raise UserError(
            f"the study's database can't be reached: {reason_of(error)}; once it can: gan sweep resume DIR"
        ) from error


def number_of_points(space: list[Axis]) -> int | None:
    """Return the number of points of a space; None if it is infinite."""
    if not all(axis.choices or axis.integer for axis in space):
        return None
    return prod(len(axis.choices) if axis.choices else int(axis.high) - int(axis.low) + 1 for axis in space)


def sampler_seed(seed: int, number: int) -> int:
    """Return the seed of the sampler that draws trial `number`."""
    return stream_seed(seed, "sampler", number) % 2**32


def intermediate_values(trial: TrialSnapshot) -> dict[int, float]:
    """Return {round: value} without round 0, which is the same for all trials."""
    return {round: value for round, value in trial.curve if round > 0}


def suggest(trial: optuna.trial.Trial, axis: Axis) -> Any:
    """Return a value of that axis."""
    if axis.choices is not None:
        return trial.suggest_categorical(axis.key, axis.choices)
    if axis.integer:
        return trial.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)
