"""The latest values of a run, shared by its callbacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Check = Callable[[Any, dict[str, float]], dict[str, float]]
"""(gan, row) -> terms that are added to the row, the same on all ranks."""


@dataclass
class Blackboard:
    """The latest values that callbacks write, for other callbacks to read.

    row: the last row of the log, after `row_round`. checks: functions that add to each row.
    metrics: of the last evaluation, after `metrics_round`; first_metrics: of the first. better: "min" or "max", of the
        metrics by which generators are ranked.
    warnings: of collapse and explosion, as of the last row, by kind.
    stopping: whether training ends after this round, on all ranks.
    """

    row: dict[str, float] = field(default_factory=dict)
    row_round: int | None = None
    checks: list[Check] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    metrics_round: int | None = None
    first_metrics: dict[str, float] = field(default_factory=dict)
    better: Mapping[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    stopping: bool = False
