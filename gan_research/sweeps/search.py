"""What a search is: it says which point of a sweep is tried next. And the plainest one: all of a grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gan_research.sweeps.points import Axis, as_overrides, grid, split
from gan_research.sweeps.trials import Seen, Trial


@dataclass(frozen=True)
class Task:
    """What a search is about.

    axes: what is varied. folder: the sweep's own. name: the sweep's, like no other's. metric, goal: what makes a trial
    better than another; None, where nothing is measured.
    """

    axes: list[Axis]
    folder: Path
    name: str
    metric: str | None = None
    goal: str | None = None


@dataclass(frozen=True)
class Proposal:
    """The next point: {key: value}, the overrides of each of its runs, and what the search wants to be told again."""

    values: dict[str, Any]
    runs: list[list[str]]
    note: dict[str, Any] = field(default_factory=dict)


class Search:
    """All that a search knows is on disk: several processes search together, each call is made by one at a time."""

    total: int | None = None
    """How many trials there will be; None where nobody knows."""

    def ask(self, trials: Sequence[Seen]) -> Proposal | None:
        """The next point, after these; None where there is none."""
        raise NotImplementedError

    def hopeless(self, trial: Seen, trials: Sequence[Seen]) -> bool:
        """Whether a running trial, one of these, isn't worth going on with."""
        return False

    def tell(self, trial: Seen) -> None:
        """A trial has come to its end; it may be told again."""

    def wants(self, trial: Trial) -> bool:
        """Whether a trial that is left over is to be played."""
        return True


class Grid(Search):
    """Every combination of the values of the axes, each once.

    space: axes, as {key: values in Hydra's sweep syntax}; those of the command line take their place, or join them.
    """

    def __init__(self, task: Task, space: dict[str, str] | None = None):
        self.points = grid(joined(space, task.axes))
        self.total = len(self.points)

    def ask(self, trials: Sequence[Seen]) -> Proposal | None:
        if len(trials) >= len(self.points):
            return None
        point = self.points[len(trials)]
        return Proposal(plain(point), [as_overrides(point)])


class Listed(Search):
    """These points, each once; whatever else is in the sweep's folder is left alone, and so are games that diverged.

    points: {key: value}, as they are written in overrides.
    """

    def __init__(self, task: Task, points: list[dict[str, str]]):
        self.points = points
        self.total = len(points)

    def ask(self, trials: Sequence[Seen]) -> Proposal | None:
        begun = [trial.values for trial in trials]
        point = next((point for point in self.points if point not in begun), None)
        return None if point is None else Proposal(point, [as_overrides(point)])

    def wants(self, trial: Trial) -> bool:
        return trial.values in self.points and not trial.diverged


def joined(space: dict[str, str] | None, axes: list[Axis]) -> list[Axis]:
    """The axes of a space, and those of the command line in their place or after them."""
    own = {axis.name: axis for axis in split(f"{key}={values}" for key, values in (space or {}).items())[1]}
    return list((own | {axis.name: axis for axis in axes}).values())


def plain(point: dict[str, Any]) -> dict[str, Any]:
    """A point by the names of its keys in the config."""
    return {key.lstrip("+"): value for key, value in point.items()}
