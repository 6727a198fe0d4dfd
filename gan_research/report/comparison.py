"""Runs in groups, their numbers at equal budget, and what these say of the groups."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gan_research.report.records import Record

AXES = ("round", "kimg", "seconds")

Method = Literal["Student-t", "bootstrap"]


@dataclass(frozen=True)
class Summary:
    """The numbers of a group's runs in one metric, and what they say of the mean over training seeds."""

    values: dict[str, float]
    """The run's id -> its number."""
    mean: float
    median: float
    std: float | None
    """With n - 1; None of one run."""
    interval: tuple[float, float] | None
    """95 % of the mean; None of one run."""
    method: Method | None


@dataclass(frozen=True)
class Curve:
    """One scalar of a group's runs at common positions of an axis, interpolated between its rows."""

    x: list[float]
    mean: list[float]
    median: list[float]
    low: list[float | None]
    high: list[float | None]
    """95 % intervals of the mean, None where there is one run."""
    count: list[int]
    """Runs that have got there."""


@dataclass(frozen=True)
class Pair:
    """Two groups in one metric."""

    metric: str
    a: str
    b: str
    probability: float
    """That a run of a is better than one of b; ties count half."""
    interval: tuple[float, float] | None
    difference: float
    """The mean of a, less that of b; where seeds are paired, over those that both have."""
    difference_interval: tuple[float, float] | None
    paired: bool


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    by: str
    axis: str
    groups: dict[str, list[Record]]
    """All runs, whatever became of them."""
    metrics: dict[str, str]
    """column -> "min" or "max", whichever is better; without "metrics/"."""
    position: float
    """Where on the axis the numbers are taken: the furthest that all finished runs reach, or what was asked for."""
    summaries: dict[str, dict[str, Summary]]
    """metric -> group -> its numbers; without groups that have none."""
    pairs: list[Pair]
    """Each metric's pairs of groups, once."""
    best_of: dict[str, dict[str, list[float]]]
    """metric -> group of several configurations -> the expected best of 1, 2, ... of them."""
    differences: dict[str, dict[str, str]]
    """setting -> group -> its value, or values; of those that differ between groups."""
    varied: list[str]
    """The settings, besides the seed, that vary between runs."""
    importance: dict[str, dict[str, float]]
    """metric -> varied setting -> how much of the metric it explains; {} of too few runs."""
    failed: list[Record]
    notes: list[str] = field(default_factory=list)
    command: str = ""
    """The line of a shell that makes this comparison."""

    @property
    def records(self) -> list[Record]:
        """All runs."""
        return [record for group in self.groups.values() for record in group]

    def counted(self, metric: str, group: str) -> str:
        """How many of a group's runs are in a number: "5", or "4 of 5 (1 failed)"."""
        raise NotImplementedError

    def curves(self, scalar: str, axis: str) -> dict[str, Curve]:
        """group -> the curve of a scalar ("metrics/fid", "loss/generator"); without groups that lack it."""
        raise NotImplementedError


def compare(
    records: Sequence[Record],
    by: str = "loss",
    metrics: Sequence[str] | None = None,
    axis: str = "round",
    at: float | None = None,
    notes: Sequence[str] = (),
    command: str = "",
) -> Comparison:
    """Runs, grouped by the settings `by` ("loss", or "loss,regularizer")."""
    raise NotImplementedError


def as_dict(comparison: Comparison) -> dict[str, Any]:
    """All of it, as plain values."""
    raise NotImplementedError
