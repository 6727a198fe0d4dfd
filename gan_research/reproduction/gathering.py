"""From the trials of a sweep to the results of its recipes."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from gan_research.report.folders import RUN, read_run
from gan_research.report.records import Record
from gan_research.reproduction.origin import parts_of
from gan_research.reproduction.result import SeedResult, State, thinned
from gan_research.sweeps.sweep import Sweep
from gan_research.sweeps.trials import Trial

METRICS = "metrics/"


def gathered(sweep: Sweep, recipe: str, seeds: Sequence[int], followed: Collection[str] = ()) -> list[SeedResult]:
    """Return what came of a recipe's trainings, one for each of the seeds.

    followed: columns of which all evaluations are kept, since a claim is about their history.
    """
    trials = {(trial.values["experiment"], trial.values["seed"]): trial for trial in sweep.trials()}
    return [of_trial(trials.get((recipe, str(seed))), seed, followed) for seed in seeds]


def of_trial(trial: Trial | None, seed: int, followed: Collection[str] = ()) -> SeedResult:
    """Return what came of one training, as far as it has come."""
    if trial is None:
        return SeedResult(seed, "open")
    if (home := trial.runs[0].home()) is None:
        return SeedResult(seed, "failed" if trial.reason else "open", trial.reason)
    run, end = read_run(home, []), trial.runs[0].end()
    state: State = "diverged" if trial.diverged else run.state
    measured = [row for row in run.rows if isinstance(row.get("protocol"), dict)]
    last = measured[-1] if measured and measured[-1]["round"] == run.rows[-1]["round"] else {}
    columns = [key for key in last if key.startswith(METRICS)]
    segments = json.loads((home / RUN).read_text())["segments"]
    final = run.rows[-1] if run.rows else {}
    rounds = run.config["rounds"] if state == "finished" else final.get("round", 0)
    return SeedResult(
        seed=seed,
        state=state,
        reason=run.reason,
        rounds=rounds,
        kimg=final.get("kimg", 0.0),
        seconds=round(end.seconds if end and len(segments) == 1 else run.x_of(final, "seconds") or 0.0, 1),
        device=segments[-1].get("device", ""),
        commit=segments[-1].get("commit"),
        torch=segments[-1].get("torch", ""),
        parts=parts_of(segments, rounds),
        values={key.removeprefix(METRICS): last[key] for key in columns} if state == "finished" else {},
        protocol=last.get("protocol", {}),
        better=last.get("better", {}),
        curves={key.removeprefix(METRICS): curve(run, key, measured, followed) for key in columns},
    )


def curve(run: Record, key: str, measured: Sequence[dict[str, Any]], followed: Collection[str]) -> list[list[float]]:
    """Return [round, value] of a column by the last protocol: thinned, or of every evaluation where it is followed.

    Empty for a followed column that isn't measured by that protocol at every evaluation: its history isn't known.
    """
    alike = [row for row in measured if row["protocol"] == measured[-1]["protocol"]]
    points = replace(run, rows=alike).points(key, "round")
    if key.removeprefix(METRICS) not in followed:
        return thinned(points)
    return [list(point) for point in points] if len(points) == len(measured) else []
