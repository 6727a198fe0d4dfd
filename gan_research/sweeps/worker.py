"""A process that trains trials of a sweep until none is left."""

import time
from collections.abc import Callable

from gan_research.sweeps.pool import Slot
from gan_research.sweeps.run_process import RunningProcess
from gan_research.sweeps.search import Search
from gan_research.sweeps.sweep import ClaimedTrial, Sweep
from gan_research.sweeps.trials import Status, TrialRun, TrialSnapshot
from gan_research.utils.signals import on_stop_signals

POLL, REFRESH = 0.1, 2.0  # seconds between two checks of the processes, and of their measurements


class Worker:
    """Trains a sweep's trials in these slots.

    start: starts a run. show: called with the trials at each refresh. failed_before: the Unix time before which a trial
        failed that is retried; None: now.
    """

    def __init__(
        self,
        sweep: Sweep,
        search: Search,
        slots: list[Slot],
        start: Callable[[TrialRun, Slot], RunningProcess],
        show: Callable[[list[TrialSnapshot]], None],
        failed_before: float | None = None,
    ):
        self.sweep, self.search, self.slots, self.start, self.show = sweep, search, slots, start, show
        self.claimed: list[ClaimedTrial] = []
        self.processes: list[RunningProcess] = []
        self.interrupted, self._next_claim = False, 0.0
        self._started = time.time() if failed_before is None else failed_before
        self._checked: dict[int, int] = {}  # trial -> number of its measurements by which pruning was decided

    def work(self) -> bool:
        """Train until no trial is left, or this process is asked to stop; return whether none is left."""
        refreshed = 0.0
        with on_stop_signals(self._stop):
            try:
                while True:
                    if not self.interrupted:
                        self._fill()
                    if not self.processes and (self.interrupted or not self.claimed):
                        return not self.interrupted
                    time.sleep(POLL)
                    self._collect()
                    if time.monotonic() - refreshed >= REFRESH:
                        self._refresh()
                        refreshed = time.monotonic()
            finally:
                for process in self.processes:  # after an error
                    process.kill()
                for claimed in self.claimed:
                    claimed.lock.release()
                self._refresh()

    def _fill(self) -> None:
        """Start runs in the free slots."""
        busy = [process.slot for process in self.processes]
        for slot in self.slots:
            if not any(slot is other for other in busy):
                if (run := self._next_run()) is None:
                    return
                self.processes.append(self.start(run, slot))

    def _next_run(self) -> TrialRun | None:
        """Return a waiting run of a claimed trial, else the first of a new one."""
        if not any(claimed.waiting for claimed in self.claimed) and time.monotonic() >= self._next_claim:
            if (new := self.sweep.claim(self.search, self._started)) is not None:
                self.claimed.append(new)
            else:
                self._next_claim = time.monotonic() + REFRESH
        for claimed in self.claimed:
            for run in claimed.waiting:
                if not run.is_running():  # as one may whose sweep was killed, until it stops after its round
                    claimed.waiting.remove(run)
                    return run
        return None

    def _collect(self) -> None:
        """Write the outcomes of processes that have ended, and release the trials that are over."""
        for process in list(self.processes):
            if (outcome := process.outcome()) is None:
                continue
            self.processes.remove(process)
            if self.interrupted and outcome.status not in ("finished", "failed"):
                continue  # to be resumed
            process.run.write_outcome(outcome)
            if outcome.status != "finished":
                for claimed in self.claimed:
                    if process.run in claimed.trial.runs:
                        self._end(claimed, "stopped", "another run of the trial ended without a result")
        for claimed in list(self.claimed):
            if not claimed.waiting and not self._processes_of(claimed):
                self.claimed.remove(claimed)
                self.sweep.release(claimed, self.search)
                self._next_claim = 0.0  # the search has a new result

    def _processes_of(self, claimed: ClaimedTrial) -> list[RunningProcess]:
        return [process for process in self.processes if process.run in claimed.trial.runs]

    def _end(self, claimed: ClaimedTrial, status: Status, reason: str) -> None:
        """Stop the processes of a trial, and start no more of them."""
        claimed.waiting.clear()
        for process in self._processes_of(claimed):
            process.stop(status, reason)

    def _refresh(self) -> None:
        """Read the measurements, prune trials, and show them."""
        trials = self.sweep.snapshot()
        by_number = {trial.number: trial for trial in trials}
        for claimed in self.claimed:
            trial = by_number[claimed.trial.number]
            if trial.state == "running" and len(trial.curve) > self._checked.get(trial.number, 0):
                self._checked[trial.number] = len(trial.curve)
                if self.search.should_prune(trial, trials):
                    round, value = trial.curve[-1]
                    self._end(claimed, "pruned", f"unpromising: {trial.trial.metric} {value:.4g} at round {round:,}")
        self.show(trials)

    def _stop(self, number: int) -> None:
        """Ask the runs to stop; the second time, kill them."""
        for process in self.processes:
            if self.interrupted:
                process.process.kill()
            else:
                process.stop("stopped", "the sweep was stopped")
        self.interrupted = True
