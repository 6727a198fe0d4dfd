"""The best point of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from gan_research.sweeps.sweep import Sweep
from gan_research.sweeps.trials import TrialSnapshot
from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class Point:
    """A point of a sweep without its seed: the mean of the metric over its finished runs.

    overrides: of its runs, without the seed. seeds: of these runs.
    """

    values: dict[str, Any]
    overrides: list[str]
    seeds: list[str]
    mean: float

    @property
    def text(self) -> str:
        """The point as on a command line."""
        return " ".join(f"{key}={value}" for key, value in self.values.items()) or "the only point"


def best_point(sweep: Sweep, trials: Sequence[TrialSnapshot]) -> tuple[Point, int]:
    """Return the point with the best mean over seeds, and of how many; raise a UserError if none is finished.

    Points with fewer seeds than others don't take part.
    """
    points = points_of(trials)
    if sweep.metric is None or not points:
        reason = "nothing is measured in it" if sweep.metric is None else "no trial is finished"
        raise UserError(f"{sweep.folder} has no best trial: {reason}")
    most = max(len(point.seeds) for point in points)
    whole = [point for point in points if len(point.seeds) == most]
    return (max if sweep.goal == "max" else min)(whole, key=lambda point: point.mean), len(whole)


def points_of(trials: Sequence[TrialSnapshot]) -> list[Point]:
    """Return the points with a finished trial."""
    found: dict[tuple[str, ...], list[tuple[TrialSnapshot, list[str]]]] = {}
    for trial in trials:
        if trial.value is not None:
            for run in trial.trial.runs:
                own = tuple(o for o in run.overrides if not o.startswith("seed="))
                found.setdefault(own, []).append((trial, run.overrides))
    return [
        Point(
            {key: value for key, value in runs[0][0].values.items() if key != "seed"},
            list(overrides),
            [o.partition("=")[2] for _, own in runs for o in own if o.startswith("seed=")] or ["0"] * len(runs),
            mean(value for trial, _ in runs if (value := trial.value) is not None),
        )
        for overrides, runs in found.items()
    ]
