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
    metrics: the last value of each column, measured after round `measured[column]`; first_metrics: the first.
    better: "min" or "max", of the columns by which generators are ranked.
    warnings: of collapse and explosion, as of the last row, by kind.
    stopping: whether training ends after this round, on all ranks.
    """

    row: dict[str, float] = field(default_factory=dict)
    row_round: int | None = None
    checks: list[Check] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    measured: dict[str, int] = field(default_factory=dict)
    first_metrics: dict[str, float] = field(default_factory=dict)
    better: Mapping[str, str] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    stopping: bool = False

    def add_metrics(self, values: dict[str, float], round: int) -> None:
        """Add the columns of an evaluation after a round."""
        self.metrics = self.metrics | values
        self.measured = self.measured | dict.fromkeys(values, round)
        self.first_metrics = values | self.first_metrics

    @property
    def metrics_round(self) -> int | None:
        """The round of the last evaluation; None before the first."""
        return max(self.measured.values(), default=None)

    @property
    def last_metrics(self) -> dict[str, float]:
        """The columns that were measured after `metrics_round`."""
        return {name: value for name, value in self.metrics.items() if self.measured[name] == self.metrics_round}
