"""The mean of one scalar over training, with a band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gan_research.report.statistics import mean_intervals
from gan_research.utils.ranges import UNBOUNDED, Range

Series = tuple[list[float], list[float]]
MAX_POSITIONS = 400
RESAMPLES = 1000  # resamples of the bootstrap at each position


@dataclass(frozen=True)
class Curve:
    """The mean of a group's runs at common positions, interpolated between their rows.

    low, high: ends of the 95 % intervals, within the range; None where there are fewer than 3 runs.
    count: the runs that reached each position.
    """

    x: list[float]
    mean: list[float]
    low: list[float | None]
    high: list[float | None]
    count: list[int]


def curve(runs: Sequence[Series], axis: str, range: Range = UNBOUNDED) -> Curve | None:
    """Return the curve of runs, each given as x and y; None if all are empty.

    A run has a value everywhere between its first and its last row, and none after it ended. The positions are all x of
    the runs; evenly spaced ones if those are many, or the axis is time.
    """
    runs = [tuple(np.take(run, np.argsort(run[0], kind="stable"), axis=1).tolist()) for run in runs if run[0]]
    if not runs:
        return None
    x = np.unique(np.concatenate([run[0] for run in runs]))
    if axis == "seconds" or len(x) > MAX_POSITIONS:
        x = np.linspace(x[0], x[-1], min(MAX_POSITIONS, max(len(run[0]) for run in runs)))
    table = np.stack([np.interp(x, *run, left=np.nan, right=np.nan) for run in runs])
    count = (~np.isnan(table)).sum(0)
    x, table, count = x[count > 0], table[:, count > 0], count[count > 0]
    intervals = mean_intervals(table, range, RESAMPLES)
    low, high = ([None if np.isnan(end) else float(end) for end in ends] for ends in intervals)
    return Curve(x=x.tolist(), mean=np.nanmean(table, axis=0).tolist(), low=low, high=high, count=count.tolist())
