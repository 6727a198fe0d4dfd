"""The results of a recipe's seeds, read from the trials of a sweep."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from gan_research.report.folders import read_run
from gan_research.report.records import METRICS, Record
from gan_research.reproduction.origin import training_parts
from gan_research.reproduction.result import SeedResult, State, thin
from gan_research.runs.run import Run, Segment
from gan_research.sweeps.sweep import Sweep
from gan_research.sweeps.trials import Trial


def seed_results(sweep: Sweep, recipe: str, seeds: Sequence[int], tracked: Collection[str] = ()) -> list[SeedResult]:
    """Return the result of each seed of a recipe.

    tracked: columns with rules on their history, for which all evaluations are kept.
    """
    trials = {(trial.values.get("experiment"), trial.values.get("seed")): trial for trial in sweep.trials()}
    return [seed_result(trials.get((recipe, str(seed))), seed, tracked) for seed in seeds]


def seed_result(trial: Trial | None, seed: int, tracked: Collection[str] = ()) -> SeedResult:
    """Return the result of one seed so far."""
    if trial is None:
        return SeedResult(seed, "open")
    if (folder := trial.runs[0].run_folder()) is None:
        return SeedResult(seed, "failed" if trial.reason else "open", trial.reason)
    run, end = read_run(folder), trial.runs[0].outcome()
    state: State = "diverged" if trial.diverged else run.state
    measured = [row for row in run.rows if isinstance(row.get("protocol"), dict)]
    last = [row for row in measured if row["round"] == run.rows[-1]["round"]]  # one of each evaluation
    columns = {key.removeprefix(METRICS): row for row in last for key in row if key.startswith(METRICS)}
    segments = Run.open(folder).segments
    final, last_segment = run.rows[-1] if run.rows else {}, segments[-1] if segments else Segment()
    rounds = run.config["rounds"] if state == "finished" else final.get("round", 0)
    return SeedResult(
        seed=seed,
        state=state,
        reason=run.reason,
        rounds=rounds,
        kimg=final.get("kimg", 0.0),
        seconds=round(end.seconds if end and len(segments) == 1 else run.x_of(final, "seconds") or 0.0, 1),
        device=last_segment.get("device", ""),
        commit=last_segment.get("commit"),
        torch=last_segment.get("torch", ""),
        parts=training_parts(segments, rounds),
        values={name: row[METRICS + name] for name, row in columns.items()} if state == "finished" else {},
        protocol=last[0]["protocol"] if last else {},
        better={name: way for row in last for name, way in row.get("better", {}).items()},
        curves={name: curve(run, name, rows_of(name, measured, last), name in tracked) for name in columns},
        protocols={name: row["protocol"] for name, row in columns.items() if row is not last[0]},
    )


def rows_of(column: str, measured: Sequence[dict[str, Any]], last: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a history without those of evaluations of other columns.

    last: the row of each evaluation after the last round.
    """
    others = {name for row in last if METRICS + column not in row for name in row.get("better", {})}
    return [row for row in measured if not others & row.get("better", {}).keys()]


def curve(run: Record, column: str, measured: Sequence[dict[str, Any]], whole: bool) -> list[list[float]]:
    """Return [round, value] of a column, measured by the last protocol.

    whole: keep every evaluation instead of a thinned curve; then the curve is empty if another protocol, or none,
    measured the column at some evaluation.
    """
    same = [row for row in measured if row["protocol"] == measured[-1]["protocol"]]
    points = replace(run, rows=same).points(METRICS + column, "round")
    if not whole:
        return thin(points)
    return [list(point) for point in points] if len(points) == len(measured) else []
