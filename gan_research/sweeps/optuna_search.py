"""A search by Optuna, driven trial by trial: its study is a file in the sweep's folder, or a database."""

import os
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import PositiveInt

from gan_research.sweeps.points import Axis, as_overrides
from gan_research.sweeps.search import Proposal, Search, Task, joined, plain
from gan_research.sweeps.trials import Seen
from gan_research.utils.errors import UserError
from gan_research.utils.rng import stream_seed

SEED = "seed"

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


class KernelLock(JournalFileOpenLock):
    """The journal's lock as one that the kernel frees. Who is killed leaves neither the lock behind nor half a line."""

    def __init__(self, journal: Path):
        self.journal = journal
        self._lock = FileLock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        self._lock.acquire()
        with self.journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            whole = file.read() in (b"", b"\n")
        if not whole:
            os.truncate(self.journal, self.journal.read_bytes().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        self._lock.release()


class OptunaSearch(Search):
    """Trials that Optuna proposes, and prunes by what they measure on the way.

    Seeds (seed=0,1,2) aren't searched: each trial plays all of them, and is judged by the mean.

    space: axes, as {key: values in Hydra's sweep syntax}; those of the command line take their place, or join them.
    trials: how many, over all processes; those that failed count, until they are taken up again.
    sampler: makes a sampler of a seed: optuna.samplers.TPESampler, for example. pruner: one of optuna.pruners; it is
    asked at each evaluation, and its steps are rounds.
    storage: the URL of a database (postgresql://..., sqlite:///...) for hundreds of processes; None: study.journal in
    the sweep's folder, which is good for tens. The folder is to be seen by all of them in any case.
    seed: of the sampler.
    """

    total: int

    def __init__(
        self,
        task: Task,
        sampler: Callable[..., optuna.samplers.BaseSampler],
        pruner: optuna.pruners.BasePruner,
        space: dict[str, str] | None = None,
        trials: PositiveInt = 50,
        storage: str | None = None,
        seed: int = 0,
    ):
        if task.metric is None:
            raise UserError("sweep=optuna needs something to judge trials by: add metrics=...")
        axes = joined(space, task.axes)
        self.seeds = next((axis for axis in axes if axis.name == SEED), None)
        if self.seeds is not None and self.seeds.choices is None:
            raise UserError("seed is an interval: list the seeds that each trial plays, seed=0,1,2")
        self.space = [axis for axis in axes if axis.name != SEED]
        if not self.space:
            raise UserError("sweep=optuna has nothing to search: give a key values to choose from, or an interval")
        self.total, self.seed, self._sampler = trials, seed, sampler
        self._task, self._pruner = task, pruner
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._database = RDBStorage(storage) if storage is not None else None
        except Exception as error:  # of as many classes as there are databases
            raise UserError(f"no study can be kept in {storage}: {str(error).splitlines()[0]}") from error

    @cached_property
    def storage(self) -> BaseStorage:
        """Where the study is: the database, or a journal in the sweep's folder."""
        if self._database is not None:
            return self._database
        journal = self._task.folder / "study.journal"
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=KernelLock(journal)))

    @cached_property
    def study(self) -> optuna.Study:
        return optuna.create_study(
            study_name=self._task.name,
            storage=self.storage,
            pruner=self._pruner,
            direction="minimize" if self._task.goal == "min" else "maximize",
            load_if_exists=True,
        )

    def ask(self, trials: Sequence[Seen]) -> Proposal | None:
        if len(trials) >= self.total:
            return None
        self.study.sampler = self._sampler(seed=stream_seed(self.seed, "sampler", len(trials)) % 2**32)
        known = {trial.trial.note["study"] for trial in trials}
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        lost = [trial for trial in running if trial.number not in known]
        # one that is lost: who asked for it was killed before it was written down
        trial = optuna.trial.Trial(self.study, lost[0]._trial_id) if lost else self.study.ask()
        values = {axis.key: suggest(trial, axis) for axis in self.space}
        point = as_overrides(values)
        seeds = self.seeds.choices if self.seeds is not None else None
        runs = [[*point, f"{SEED}={seed}"] for seed in seeds] if seeds else [point]
        return Proposal(plain(values), runs, {"study": trial.number})

    def hopeless(self, trial: Seen, trials: Sequence[Seen]) -> bool:
        if self._frozen(trial).state is not TrialState.RUNNING:  # it had failed: what it comes to is a trial of its own
            return False
        self._report(trial)
        return self.study.pruner.prune(self.study, self._frozen(trial))

    def tell(self, trial: Seen) -> None:
        frozen = self._frozen(trial)
        if frozen.state is TrialState.RUNNING:
            self._report(trial)
            if trial.state == "finished" and trial.value is not None:
                self.study.tell(frozen.number, trial.value)
            else:
                self.study.tell(frozen.number, state=TrialState.PRUNED if trial.state == "pruned" else TrialState.FAIL)
        elif frozen.state is TrialState.FAIL and trial.value is not None and not self._told_again(frozen.number):
            again = create_trial(
                value=trial.value,
                params=frozen.params,
                distributions=frozen.distributions,
                user_attrs={"again": frozen.number},
                intermediate_values={round: value for round, value in trial.curve if round > 0},
            )
            self.study.add_trial(again)  # what has failed stays so, for Optuna

    def _report(self, trial: Seen) -> None:
        """Write down what is new of its curve; round 0 says nothing of a trial."""
        frozen = self._frozen(trial)
        for round, value in trial.curve:
            if round > 0 and round not in frozen.intermediate_values:
                self.storage.set_trial_intermediate_value(frozen._trial_id, round, value)

    def _frozen(self, trial: Seen) -> FrozenTrial:
        return self.study.get_trials(deepcopy=False)[trial.trial.note["study"]]

    def _told_again(self, number: int) -> bool:
        return any(trial.user_attrs.get("again") == number for trial in self.study.get_trials(deepcopy=False))


def suggest(trial: optuna.trial.Trial, axis: Axis) -> Any:
    """A value of that axis."""
    if axis.choices is not None:
        return trial.suggest_categorical(axis.key, axis.choices)
    if axis.integer:
        return trial.suggest_int(axis.key, int(axis.low), int(axis.high), log=axis.log)
    return trial.suggest_float(axis.key, axis.low, axis.high, log=axis.log)
