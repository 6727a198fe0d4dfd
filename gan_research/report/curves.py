"""One scalar of several runs, over training: their mean with a band."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan_research.report.statistics import mean_interval

Series = tuple[list[float], list[float]]

MOST = 400
"""Positions of a curve."""

RESAMPLES = 1000
"""Of the bootstrap at each position."""


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


def curve(runs: Sequence[Series], axis: str) -> Curve | None:
    """The curve of runs, each x and y; None where none has any.

    Between its first and last row a run has a value everywhere. A run that ends early counts until there.
    """
    runs = [in_order(run) for run in runs if run[0]]
    if not runs:
        return None
    x = positions(runs, axis)
    table = np.stack([np.interp(x, *run, left=np.nan, right=np.nan) for run in runs])
    x, table = x[~np.isnan(table).all(0)], table[:, ~np.isnan(table).all(0)]
    columns = [column[~np.isnan(column)] for column in table.T]
    bands = [mean_interval(column.tolist(), RESAMPLES) for column in columns]
    return Curve(
        x=x.tolist(),
        mean=[float(column.mean()) for column in columns],
        median=[float(np.median(column)) for column in columns],
        low=[None if band is None else band[0] for band in bands],
        high=[None if band is None else band[1] for band in bands],
        count=[len(column) for column in columns],
    )


def in_order(run: Series) -> Series:
    """The run by increasing x."""
    order = np.argsort(run[0], kind="stable")
    return [run[0][i] for i in order], [run[1][i] for i in order]


def positions(runs: Sequence[Series], axis: str) -> NDArray[np.float64]:
    """Where any of the runs has a row; evenly between the ends where those are many, or the axis is a clock's."""
    union = np.unique(np.concatenate([run[0] for run in runs]))
    if axis != "seconds" and len(union) <= MOST:
        return union
    return np.linspace(union[0], union[-1], min(MOST, max(len(run[0]) for run in runs)))
