"""Parallel coordinates: each run a line through its settings, coloured by its result."""

import math
from typing import Any, NamedTuple

import numpy as np

from gan_research.report.comparison import Comparison
from gan_research.report.page.figures import Figure, line, new_figure, rounded_to
from gan_research.report.page.text import label, number
from gan_research.report.settings import format_value, is_numeric

KEYS = 8  # the maximum number of settings, the most important ones
ABSENT = -0.15  # the height of a run without a setting that other runs have as a number
SCALE = ("#2a6fb0", "#7d92a8", "#a59c90", "#c98f4e", "#e07b00")
"""Blue to orange: distinct for colour-blind people, visible on light and on dark."""
TICK = {"xanchor": "right", "xshift": -5, "showarrow": False, "font": {"size": 11}, "bgcolor": "@panel/0.85"}


class Coordinate(NamedTuple):
    """A vertical axis: the height of each run from 0 to 1, and the labels next to it."""

    name: str
    heights: list[float]
    ticks: list[tuple[float, str]]


def coordinate(name: str, values: list[Any]) -> Coordinate:
    """Return an axis of sorted texts, or of numbers, logarithmic beyond a factor of 10."""
    present = [value for value in values if value is not None]
    if not present or not is_numeric(present):
        texts = sorted({format_value(value) for value in values})
        height = {text: fraction(i, 0, len(texts) - 1) for i, text in enumerate(texts)}
        ticks = [(y, text) for text, y in height.items()] if len(texts) <= 12 else []
        return Coordinate(name, [height[format_value(value)] for value in values], ticks)
    low, high = min(present), max(present)
    scale = math.log if low > 0 and high / low > 10 else float
    bottom, top = scale(low), scale(high)
    heights = [ABSENT if value is None else fraction(scale(value), bottom, top) for value in values]
    middle = math.exp((bottom + top) / 2) if scale is math.log else (low + high) / 2
    ticks = [(0.5, f"{middle:.{4 if low == high else 3}g}")]
    if low < high:
        ticks = [(0.0, f"{low:.4g}"), *ticks, (1.0, f"{high:.4g}")]
    return Coordinate(name, heights, [*ticks, *([(ABSENT, "none")] if ABSENT in heights else [])])


def fraction(value: float, low: float, high: float) -> float:
    """Return the position of a value between two others, from 0 to 1; 1/2 if these are equal."""
    return 0.5 if low == high else (value - low) / (high - low)


def colour_at(height: float) -> str:
    """Return the colour of a height from 0 to 1."""
    channels = [[int(colour[k : k + 2], 16) for colour in SCALE] for k in (1, 3, 5)]
    at, stops = height * (len(SCALE) - 1), range(len(SCALE))
    return "rgb({},{},{})".format(*(round(float(np.interp(at, stops, channel))) for channel in channels))


def parallel_figure(comparison: Comparison, metric: str, varied: list[str]) -> Figure | None:
    """Return a line for each run with the metric; None for fewer than two runs, or if nothing varies."""
    values = {run: y for summary in comparison.summaries.get(metric, {}).values() for run, y in summary.values.items()}
    records = [record for record in comparison.records if record.id in values]
    weights = comparison.importance.get(metric, {})
    keys = sorted(varied, key=lambda key: -weights.get(key, 0.0))[:KEYS]
    if len(records) < 2 or not keys:
        return None
    axes = [coordinate(key, [record.facts.get(key) for record in records]) for key in keys]
    axes.append(coordinate(metric, [values[record.id] for record in records]))
    goodness = [h if comparison.metrics[metric] == "max" else 1 - h for h in axes[-1].heights]
    traces = []
    for n in sorted(range(len(records)), key=goodness.__getitem__):  # the best on top
        settings = [f"{label(key, 40)}: {label(format_value(records[n].facts.get(key)), 40)}" for key in keys]
        result = f"{label(metric)}: {number(values[records[n].id])}"
        text = "<br>".join([label(records[n].name, 60), *settings, result])
        trace = line("", colour_at(goodness[n]), 2.2, text=text, hovertemplate="%{text}<extra></extra>")
        y = [rounded_to(axis.heights[n], 4) for axis in axes]
        traces.append({**trace, "x": list(range(len(axes))), "y": y})
    title = f"{comparison.heading(metric)}: each line is a run, more orange is better"
    alt = f"parallel coordinates: the settings of each run, coloured by {metric}"
    return new_figure(f"parallel-{metric}", title, alt, traces, parallel_layout(axes), least=130 * len(axes))


def parallel_layout(axes: list[Coordinate]) -> dict[str, Any]:
    """Return vertical lines with their ticks and the names below them."""
    labels = [(i, height, label(text, 14)) for i, axis in enumerate(axes) for height, text in axis.ticks]
    vertical = {"type": "line", "y0": 0, "y1": 1, "layer": "below", "line": {"color": "@muted", "width": 1}}
    names = [label(axis.name, 60).replace(".", ".<br>") for axis in axes]
    x = {"tickvals": list(range(len(axes))), "ticktext": names, "range": [-0.6, len(axes) - 0.85], "tickangle": 0}
    lowest = min(0.0, *(height for axis in axes for height in axis.heights))
    return {
        "height": 380,
        "hovermode": "closest",
        "showlegend": False,
        "xaxis": {**x, "showgrid": False, "zeroline": False},
        "yaxis": {"visible": False, "range": [lowest - 0.06, 1.06]},
        "shapes": [{**vertical, "x0": i, "x1": i} for i in range(len(axes))],
        "annotations": [{"x": i, "y": height, "text": text, **TICK} for i, height, text in labels],
    }
