"""The progress of a sweep, and the seconds that it has left."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from statistics import mean
from typing import Any

from gan_research.sweeps.trials import STATES, TrialRun, TrialSnapshot
from gan_research.utils.run_folder import CLOCK, HISTORY
from gan_research.utils.texts import duration


def progress(trials: Sequence[TrialSnapshot], total: int | None, rounds: int | None) -> str:
    """Return "12 trials: 5 finished, 2 running, 5 to come; about 4.2 min left"."""
    states = Counter(trial.state for trial in trials)
    known = [f"{states[state]} {state}" for state in STATES if states[state]]
    if total is not None and total > len(trials):
        known.append(f"{total - len(trials)} to come")
    left = seconds_left(trials, total, rounds)
    end = f"; about {duration(left)} left" if left else ""
    return f"{max(total or 0, len(trials))} trials: {', '.join(known) or 'none yet'}{end}"


def seconds_left(trials: Sequence[TrialSnapshot], total: int | None, rounds: int | None) -> float | None:
    """Return the seconds until all trials are over; None if unknown.

    Runs to come are taken to need as long as those so far, as many at once as now. rounds: of each run; None if they
    differ.
    """
    whole, running, waiting = list[float](), list[float](), 0  # seconds of runs: in all, so far
    at_once = sum(trial.state == "running" for trial in trials)
    for trial in trials:
        for run in trial.trial.runs:
            outcome = run.outcome()
            if outcome is not None and outcome.status == "finished":
                whole.append(outcome.seconds)
            elif outcome is None and trial.state == "running" and run.is_running():
                row = next(last_rows(run), {})
                seconds, round = float(row.get(CLOCK) or 0.0), row.get("round", 0)
                running.append(seconds)
                if rounds and seconds and round:
                    whole.append(seconds * rounds / round)
            elif trial.trial.ended is None:
                waiting += 1
    if not whole or not at_once or total is None:
        return None
    each, runs_of_trial = mean(whole), mean(len(trial.trial.runs) for trial in trials)
    to_come = waiting + max(0, total - len(trials)) * runs_of_trial
    return (to_come * each + sum(max(0.0, each - seconds) for seconds in running)) / max(at_once, len(running))


def progress_of(trial: TrialSnapshot, rounds: int | None) -> str:
    """Return the last round of each run of a trial: "1,200/5,000, 1,150/5,000"."""
    total = f"/{rounds:,}" if rounds is not None else ""
    begun = (run for run in trial.trial.runs if run.folder.is_dir())
    return ", ".join(f"{next((row['round'] for row in last_rows(run)), 0):,}{total}" for run in begun)


def last_rows(run: TrialRun) -> Iterator[dict[str, Any]]:
    """Yield the last rows of a run's history, the last first; half-written ones are left out."""
    folder = run.run_folder()
    if folder is None or not (history := folder / HISTORY).is_file():
        return
    with history.open("rb") as file:
        file.seek(max(0, history.stat().st_size - 65_536))
        lines = file.read().splitlines()
    for line in reversed(lines):
        with suppress(Exception):  # half-written, or damaged: reported where the rows are read
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("round"), int):
                yield row
