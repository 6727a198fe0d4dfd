"""Parallel coordinates: each run a line through its settings, coloured by what came of it."""

import math
from typing import Any, NamedTuple

from gan_research.report.comparison import Comparison
from gan_research.report.page.figures import Figure, short
from gan_research.report.page.text import direction, label, number
from gan_research.report.settings import shown

KEYS = 8
"""Settings at most; the most important first."""
ABSENT = -0.15
"""Where a run goes that lacks a setting which the others have as a number."""
SCALE = ("#2a6fb0", "#7d92a8", "#a59c90", "#c98f4e", "#e07b00")
"""Blue to orange, which colour-blind people can tell apart; seen on light and on dark."""
TICK = {"xanchor": "right", "xshift": -5, "showarrow": False, "font": {"size": 11}, "bgcolor": "@panel/0.85"}


class Coordinate(NamedTuple):
    """One vertical axis: where each value is, from 0 to 1, and what is written beside it."""

    name: str
    places: list[float]
    ticks: list[tuple[float, str]]


def numeric(values: list[Any]) -> bool:
    return all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) for value in values
    )


def coordinate(name: str, values: list[Any]) -> Coordinate:
    """Numbers by size, by their logarithm where they span more than a factor of 10; anything else by its text."""
    present = [value for value in values if value is not None]
    if not present or not numeric(present):
        texts = sorted({shown(value) for value in values})
        heights = {text: i / (len(texts) - 1) if len(texts) > 1 else 0.5 for i, text in enumerate(texts)}
        ticks = [(height, text) for text, height in heights.items()] if len(texts) <= 12 else []
        return Coordinate(name, [heights[shown(value)] for value in values], ticks)
    low, high = min(present), max(present)
    scale = math.log if low > 0 and high / low > 10 else float
    bottom, top = scale(low), scale(high)
    places = [ABSENT if value is None else unit(scale(value), bottom, top) for value in values]
    middle = math.exp((bottom + top) / 2) if scale is math.log else (low + high) / 2
    ticks = (
        [(0.5, f"{low:.4g}")] if low == high else [(0.0, f"{low:.4g}"), (0.5, f"{middle:.3g}"), (1.0, f"{high:.4g}")]
    )
    return Coordinate(name, places, [*ticks, *([(ABSENT, "none")] if ABSENT in places else [])])


def unit(value: float, low: float, high: float) -> float:
    """Where a value is between two others, as a share of the way; half where these are equal."""
    return 0.5 if low == high else (value - low) / (high - low)


def shade(place: float) -> str:
    """The colour of a place from 0 to 1."""
    at = min(max(place, 0.0), 1.0) * (len(SCALE) - 1)
    i = min(int(at), len(SCALE) - 2)
    ends = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in SCALE[i : i + 2]]
    return "rgb({},{},{})".format(*(round(a + (b - a) * (at - i)) for a, b in zip(*ends, strict=True)))


def parallel_figure(comparison: Comparison, metric: str, varied: list[str]) -> Figure | None:
    """A line for each run that has the metric; None where there are fewer than two, or nothing varies."""
    values = {run: y for summary in comparison.summaries.get(metric, {}).values() for run, y in summary.values.items()}
    records = [record for record in comparison.records if record.id in values]
    weights = comparison.importance.get(metric, {})
    keys = sorted(varied, key=lambda key: -weights.get(key, 0.0))[:KEYS]
    if len(records) < 2 or not keys:
        return None
    axes = [coordinate(key, [record.value(key) for record in records]) for key in keys]
    axes.append(coordinate(metric, [values[record.id] for record in records]))
    worst_last = comparison.metrics[metric] == "max"
    traces = []
    for n in sorted(range(len(records)), key=lambda n: axes[-1].places[n], reverse=not worst_last):
        place = axes[-1].places[n]  # orange is better
        settings = [f"{label(key, 40)}: {label(shown(records[n].value(key)), 40)}" for key in keys]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": list(range(len(axes))),
                "y": [short(axis.places[n], 4) for axis in axes],
                "text": "<br>".join(
                    [label(records[n].name, 60), *settings, f"{label(metric)}: {number(values[records[n].id])}"]
                ),
                "line": {"color": shade(place if worst_last else 1 - place), "width": 2.2},
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return {
        "id": f"parallel-{metric}",
        "title": f"{metric}, {direction(comparison.metrics[metric])}: each line a run, the more orange the better",
        "alt": f"parallel coordinates: the settings of each run, coloured by {metric}",
        "least": 130 * len(axes),
        "data": traces,
        "layout": parallel_layout(axes),
    }


def parallel_layout(axes: list[Coordinate]) -> dict[str, Any]:
    """Vertical lines with their ticks; the name of each below."""
    ticks = [
        {"x": i, "y": place, "text": label(text, 14), **TICK}
        for i, axis in enumerate(axes)
        for place, text in axis.ticks
    ]
    lines = [
        {"type": "line", "x0": i, "x1": i, "y0": 0, "y1": 1, "layer": "below", "line": {"color": "@muted", "width": 1}}
        for i in range(len(axes))
    ]
    names = [label(axis.name, 60).replace(".", ".<br>") for axis in axes]
    x = {"tickvals": list(range(len(axes))), "ticktext": names, "range": [-0.6, len(axes) - 0.85], "tickangle": 0}
    return {
        "height": 380,
        "hovermode": "closest",
        "showlegend": False,
        "xaxis": {**x, "showgrid": False, "zeroline": False},
        "yaxis": {"visible": False, "range": [min(-0.06, *(low - 0.06 for axis in axes for low in axis.places)), 1.06]},
        "shapes": lines,
        "annotations": ticks,
    }
