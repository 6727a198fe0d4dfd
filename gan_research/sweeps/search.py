"""The interface of searches, which propose the points of a sweep, and the plainest ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_research.sweeps.points import Axis, as_overrides, grid, split
from gan_research.sweeps.trials import Trial, TrialSnapshot


@dataclass(frozen=True)
class SearchSpec:
    """The problem of a search.

    axes: what is varied. folder: the sweep's folder. name: unique name of the sweep. metric, goal: by which trials are
    compared ("min" or "max"); None if nothing is measured.
    """

    axes: list[Axis]
    folder: Path
    name: str
    metric: str | None = None
    goal: str | None = None


@dataclass(frozen=True)
class Proposal:
    """The next point {key: value}, the overrides of each of its runs, and what the search stores with the trial."""

    values: dict[str, Any]
    runs: list[list[str]]
    note: dict[str, Any] = field(default_factory=dict)


class Search:
    """Base of searches. Their state is on disk, as several processes search together, one call at a time.

    total: number of trials; None if it isn't known. runs_per_trial: one, or the number of seeds of each trial.
    """

    total: int | None = None
    runs_per_trial: int = 1

    def ask(self, trials: Sequence[TrialSnapshot]) -> Proposal | None:
        """Return the next point after these trials; None if there is none."""
        raise NotImplementedError

    def should_prune(self, trial: TrialSnapshot, trials: Sequence[TrialSnapshot]) -> bool:
        """Return whether to end a running trial, one of `trials`."""
        return False

    def tell(self, trial: TrialSnapshot) -> None:
        """Take the result of a trial that is over; it may be called again."""

    def should_retry(self, trial: Trial) -> bool:
        """Return whether to train a trial that was interrupted or failed earlier."""
        return True


class Grid(Search):
    """A grid: all combinations of the values of the axes.

    space: axes, as {key: values in Hydra's sweep syntax}; axes of the command line replace them or are added.
    """

    def __init__(self, spec: SearchSpec, space: dict[str, str] | None = None):
        self.points = grid(merge_axes(space, spec.axes))
        self.total = len(self.points)

    def ask(self, trials: Sequence[TrialSnapshot]) -> Proposal | None:
        point = next(iter(self.points[len(trials) :]), None)
        return None if point is None else Proposal(by_config_key(point), [as_overrides(point)])


class FixedPoints(Search):
    """A list of points, each once. Other trials in the sweep's folder aren't touched, nor are runs that diverged.

    points: {key: value}, as in overrides.
    """

    def __init__(self, spec: SearchSpec, points: list[dict[str, str]]):
        self.points, self.total = points, len(points)

    def ask(self, trials: Sequence[TrialSnapshot]) -> Proposal | None:
        known = [trial.values for trial in trials]
        point = next((point for point in self.points if point not in known), None)
        return None if point is None else Proposal(point, [as_overrides(point)])

    def should_retry(self, trial: Trial) -> bool:
        return trial.values in self.points and not trial.diverged


def merge_axes(space: dict[str, str] | None, axes: list[Axis]) -> list[Axis]:
    """Return the axes of a space; those of the command line replace them or are added."""
    own = split(f"{key}={values}" for key, values in (space or {}).items())[1]
    return list({axis.name: axis for axis in [*own, *axes]}.values())


def by_config_key(point: dict[str, Any]) -> dict[str, Any]:
    """Return a point without the "+" of its keys."""
    return {key.lstrip("+"): value for key, value in point.items()}
