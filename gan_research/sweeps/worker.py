"""One process that takes part in a sweep: it plays trials until there are none left."""

import time
from collections.abc import Callable

from gan_research.sweeps.pool import Playing, Slot
from gan_research.sweeps.search import Search
from gan_research.sweeps.sweep import Held, Sweep
from gan_research.sweeps.trials import Seen, TrialRun
from gan_research.utils.signals import when_asked

TICK, LOOK = 0.1, 2.0
"""Seconds between two looks at the processes, and at what they have measured."""


class Worker:
    """Plays a sweep's trials in these slots.

    begin: starts a run. show: is given the trials at each look.
    """

    def __init__(
        self,
        sweep: Sweep,
        search: Search,
        slots: list[Slot],
        begin: Callable[[TrialRun, Slot], Playing],
        show: Callable[[list[Seen]], None],
    ):
        self.sweep, self.search, self.slots, self.begin, self.show = sweep, search, slots, begin, show
        self.held: list[Held] = []
        self.playing: list[Playing] = []
        self.interrupted = False
        self._began = time.time()
        self._ask_again = 0.0
        self._judged: dict[int, int] = {}
        """trial -> how many of its measurements have been judged."""

    def work(self) -> bool:
        """Play until no trial is left, or this process is asked to stop; whether none is left."""
        looked = 0.0
        with when_asked(self._stop):
            try:
                while True:
                    if not self.interrupted:
                        self._fill()
                    if not self.playing and (self.interrupted or not self.held):
                        return not self.interrupted
                    time.sleep(TICK)
                    self._collect()
                    if time.monotonic() - looked >= LOOK:
                        self._look()
                        looked = time.monotonic()
            finally:
                for playing in self.playing:  # after an error
                    playing.kill()
                for held in self.held:
                    held.release()
                self._look()

    def _fill(self) -> None:
        """Start runs in the slots that are free."""
        for slot in self.slots:
            if any(playing.slot is slot for playing in self.playing):
                continue
            found = self._next()
            if found is None:
                return
            held, run = found
            held.waiting.remove(run)
            self.playing.append(self.begin(run, slot))

    def _next(self) -> tuple[Held, TrialRun] | None:
        """A run to be started; a new trial's where none of those that this process holds waits."""
        waiting = [(held, run) for held in self.held for run in held.waiting]
        if not waiting and time.monotonic() >= self._ask_again:
            if (held := self.sweep.claim(self.search, self._began)) is not None:
                self.held.append(held)
                waiting = [(held, run) for run in held.waiting]
            else:
                self._ask_again = time.monotonic() + LOOK
        # a process whose sweep was killed may still play it: it stops after its round
        return next(((held, run) for held, run in waiting if not run.being_played()), None)

    def _collect(self) -> None:
        """Write down how the processes that have ended did, and close the trials that are over."""
        for playing in list(self.playing):
            if (end := playing.end()) is None:
                continue
            self.playing.remove(playing)
            if self.interrupted and end.status not in ("finished", "failed"):
                continue  # something of it is left to play
            playing.run.write_end(end)
            if end.status != "finished":
                self._give_up(playing.run, "another run of the trial ended without a result")
        for held in list(self.held):
            if not held.waiting and not any(self._plays(held, playing) for playing in self.playing):
                self.held.remove(held)
                self.sweep.close(held, self.search)
                self._ask_again = 0.0  # the search has learnt something

    def _give_up(self, broken: TrialRun, reason: str) -> None:
        """End the other runs of a trial that has no result any more."""
        for held in self.held:
            if broken in held.trial.runs:
                held.waiting.clear()
                for playing in self.playing:
                    if self._plays(held, playing):
                        playing.ask_to_end("stopped", reason)

    def _look(self) -> None:
        """See what has been measured, and end what isn't worth going on with."""
        trials = self.sweep.look()
        own = {held.trial.number for held in self.held}
        for trial in [trial for trial in trials if trial.number in own and trial.state == "running"]:
            if len(trial.curve) > self._judged.get(trial.number, 0):
                self._judged[trial.number] = len(trial.curve)
                if self.search.hopeless(trial, trials):
                    self._prune(trial)
        self.show(trials)

    def _prune(self, trial: Seen) -> None:
        round, value = trial.curve[-1]
        for held in self.held:
            if held.trial.number == trial.number:
                held.waiting.clear()
                for playing in self.playing:
                    if self._plays(held, playing):
                        playing.ask_to_end("pruned", f"{trial.trial.metric} {value:.4g} after round {round:,}")

    @staticmethod
    def _plays(held: Held, playing: Playing) -> bool:
        return playing.run in held.trial.runs

    def _stop(self, number: int) -> None:
        """Ask the runs to stop; asked twice, kill them."""
        again, self.interrupted = self.interrupted, True
        for playing in self.playing:
            if again:
                playing.process.kill()
            else:
                playing.ask_to_end("stopped", "the sweep was stopped")
