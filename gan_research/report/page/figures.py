"""The figures of the page, as Plotly's JSON.

The page fills in what its reader chooses. A colour is a name of the page's CSS: "@ink", "@g3" (group 3) or "@g3/0.2"
(of that opacity). A long array is a number in `Arrays`; one for each axis, {"round": 3, "seconds": 4}.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from gan_research.report.comparison import AXES, Comparison, Curve, Pair, Summary
from gan_research.report.page.text import direction, label, number

COLOURS = 8
"""Groups with a colour of their own; with dashes and markers, 56 groups look different."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px,2px,2px,2px,2px,2px")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star")
POINTS = 250
"""Of a curve, drawn at most."""

RUNS = 200
"""Of a panel with single runs, drawn at most: of each group the first."""

Figure = dict[str, Any]
Curves = Callable[[str, str], dict[str, Curve]]
"""Scalar, axis -> those of `Comparison.curves`, each made once."""


class Arrays:
    """Arrays that traces share, each once."""

    def __init__(self) -> None:
        self.all: list[list[float | None]] = []
        self._numbers: dict[tuple[float | None, ...], int] = {}

    def add(self, values: list[Any], digits: int = 5) -> int:
        """The number of an array, whose values are rounded to so many digits."""
        rounded = [None if value is None else short(value, digits) for value in values]
        if (key := tuple(rounded)) not in self._numbers:
            self._numbers[key] = len(self.all)
            self.all.append(rounded)
        return self._numbers[key]


def short(value: float, digits: int = 5) -> float:
    """Rounded to significant digits; whole where it is whole."""
    value = float(f"{value:.{digits}g}")
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def look(group: int) -> dict[str, Any]:
    """The colour, dash and marker of a group."""
    return {
        "colour": f"@g{group % COLOURS}",
        "dash": DASHES[group % len(DASHES)],
        "marker": MARKERS[group % len(MARKERS)],
    }


def thinned(*columns: list[Any], most: int = POINTS) -> list[list[Any]]:
    """At most so many of each, evenly, with the first and the last."""
    n = len(columns[0])
    if n <= most:
        return [list(column) for column in columns]
    chosen = [i * (n - 1) // (most - 1) for i in range(most)]
    return [[column[i] for i in chosen] for column in columns]


class Panel(NamedTuple):
    """One scalar over the axis."""

    scalar: str
    title: str
    runs: bool = False
    """Whether single runs are drawn, too."""
    logarithmic: bool = False
    """Whether the scale may be logarithmic."""
    reference: float | None = None
    """Where a horizontal line is drawn."""


def curve_figure(arrays: Arrays, comparison: Comparison, curves: Curves, panel: Panel) -> Figure | None:
    """The mean of each group over each axis, in its band; None where nobody has logged it."""
    drawn = {axis: curves(panel.scalar, axis) for axis in AXES}
    traces: list[dict[str, Any]] = []
    bands: list[dict[str, Any]] = []
    for i, group in enumerate(comparison.groups):
        own = {axis: found[group] for axis, found in drawn.items() if group in found}
        if not any(curve.x for curve in own.values()):
            continue
        bands += [trace for trace in [band(arrays, i, own)] if trace]
        if panel.runs and len(comparison.groups[group]) > 1:
            bands += single_runs(arrays, i, comparison, group, panel.scalar)
        traces.append(mean_line(arrays, i, group, own))
    if not traces:
        return None
    layout: dict[str, Any] = {"height": 300, "hovermode": "closest", "yaxis": {"title": {"text": label(panel.scalar)}}}
    if panel.reference is not None:
        traces.append(reference_line(arrays, panel.reference, drawn))
    return {
        "id": f"curve-{panel.scalar}",
        "title": panel.title,
        "alt": f"{panel.scalar} over training: one line a group, the mean over its runs",
        "over": True,
        "logarithmic": panel.logarithmic,
        "data": bands + traces,
        "layout": layout,
    }


def mean_line(arrays: Arrays, i: int, group: str, curves: dict[str, Curve]) -> dict[str, Any]:
    style, points = look(i), {axis: thinned(curve.x, curve.mean) for axis, curve in curves.items()}
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": label(group),
        "group": i,
        "x": {axis: arrays.add(x, 7) for axis, (x, _) in points.items()},
        "y": {axis: arrays.add(y) for axis, (_, y) in points.items()},
        "line": {"color": style["colour"], "dash": style["dash"], "width": 2.2},
        "marker": {"symbol": style["marker"], "size": 7, "color": style["colour"], "maxdisplayed": 9},
        "hovertemplate": "%{x:,.6~g}: %{y:.4~g}<extra>%{fullData.name}</extra>",
    }


def reference_line(arrays: Arrays, y: float, drawn: dict[str, dict[str, Curve]]) -> dict[str, Any]:
    """A horizontal line as long as the curves of each axis: as a trace it is inside the panel, wherever they are."""
    ends = {axis: [x for curve in of.values() for x in curve.x] or [0.0] for axis, of in drawn.items()}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "reference",
        "x": {axis: arrays.add([min(x), max(x)], 7) for axis, x in ends.items()},
        "y": {axis: arrays.add([y, y]) for axis in ends},
        "line": {"color": "@muted", "width": 1.2, "dash": "dot"},
        "hovertemplate": "%{y:.4~g}<extra>reference</extra>",
    }


def band(arrays: Arrays, i: int, curves: dict[str, Curve]) -> dict[str, Any] | None:
    """The 95 % intervals of the mean as polygons, of the stretches where there are several runs."""
    x: dict[str, int] = {}
    y: dict[str, int] = {}
    for axis, curve in curves.items():
        around_x, around_y = outline(*thinned(curve.x, curve.low, curve.high))
        if around_x:
            x[axis], y[axis] = arrays.add(around_x, 7), arrays.add(around_y)
    if not x:
        return None
    return {
        "type": "scatter",
        "mode": "lines",
        "group": i,
        "band": True,
        "x": x,
        "y": y,
        "fill": "toself",
        "fillcolor": f"@g{i % COLOURS}/0.18",
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def outline(x: list[float], low: list[float | None], high: list[float | None]) -> tuple[list[Any], list[Any]]:
    """Forth along `low` and back along `high`, one polygon for each stretch where both are known; None in between."""
    stretches: list[list[int]] = [[]]
    for i in range(len(x)):
        if low[i] is not None and high[i] is not None:
            stretches[-1].append(i)
        elif stretches[-1]:
            stretches.append([])
    around_x: list[Any] = []
    around_y: list[Any] = []
    for stretch in (s for s in stretches if len(s) > 1):
        around_x += [*([None] if around_x else []), *(x[i] for i in stretch), *(x[i] for i in reversed(stretch))]
        around_y += [*([None] if around_y else []), *(low[i] for i in stretch), *(high[i] for i in reversed(stretch))]
    return around_x, around_y


def single_runs(arrays: Arrays, i: int, comparison: Comparison, group: str, scalar: str) -> list[dict[str, Any]]:
    """A thin line for each run of a group that has logged it."""
    traces = []
    for record in comparison.groups[group][: max(1, RUNS // len(comparison.groups))]:
        points = {axis: thinned(*record.series(scalar, axis)) for axis in AXES}
        if not any(x for x, _ in points.values()):
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": label(record.name, 40),
                "group": i,
                "x": {axis: arrays.add(x, 7) for axis, (x, _) in points.items()},
                "y": {axis: arrays.add(y) for axis, (_, y) in points.items()},
                "line": {"color": f"@g{i % COLOURS}/0.4", "width": 0.8},
                "hovertemplate": "%{x:,.6~g}: %{y:.4~g}<extra>%{fullData.name}</extra>",
            }
        )
    return traces


def line_across(x: float) -> dict[str, Any]:
    """A reference line through the whole panel."""
    ends = {"x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper"}
    return {"type": "line", **ends, "line": {"color": "@muted", "width": 1.2, "dash": "dot"}}


def rows_layout(names: list[str], title: str) -> dict[str, Any]:
    """A panel with a row for each name, the first on top."""
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.4, -0.6]}
    return {
        "height": 100 + 44 * len(names),
        "hovermode": "closest",
        "xaxis": {"title": {"text": label(title, 60)}},
        "yaxis": {**ticks, "automargin": True, "showgrid": False, "zeroline": False},
    }


def whiskers(centres: list[float], ends: list[tuple[float, float]]) -> dict[str, Any]:
    """Error bars from the centres to the ends of their intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [short(high - centre) for (_, high), centre in zip(ends, centres, strict=True)],
        "arrayminus": [short(centre - low) for (low, _), centre in zip(ends, centres, strict=True)],
        "color": "@ink",
        "thickness": 1.6,
        "width": 5,
    }


def distribution_figure(comparison: Comparison, metric: str) -> Figure | None:
    """Every run a point; the mean of each group with its interval, and the median."""
    summaries = comparison.summaries.get(metric, {})
    groups = [(i, group) for i, group in enumerate(comparison.groups) if group in summaries]
    if not groups:
        return None
    names = {record.id: record.name for record in comparison.records}
    traces = [t for row, (i, group) in enumerate(groups) for t in row_of_runs(row, i, summaries[group], names)]
    return {
        "id": f"final-{metric}",
        "title": f"{metric}, {direction(comparison.metrics[metric])}",
        "alt": f"{metric} of each run, by group, with mean, interval and median",
        "data": traces,
        "layout": rows_layout([label(group, 22) for _, group in groups], metric),
    }


def row_of_runs(row: int, i: int, summary: Summary, names: dict[str, str]) -> list[dict[str, Any]]:
    """The runs of group i below the middle of its row, their mean above, their median across."""
    style, marks = look(i), {"type": "scatter", "mode": "markers", "group": i}
    bars = {} if summary.interval is None else {"error_x": whiskers([summary.mean], [summary.interval])}
    return [
        {
            **marks,
            "x": [short(value) for value in summary.values.values()],
            "y": [row + jitter(n, len(summary.values)) for n in range(len(summary.values))],
            "text": [label(names.get(run, run), 40) for run in summary.values],
            "marker": {"symbol": style["marker"], "size": 8, "color": f"{style['colour']}/0.75"},
            "hovertemplate": "%{text}: %{x:.4~g}<extra></extra>",
        },
        {
            **marks,
            **bars,
            "x": [short(summary.mean)],
            "y": [row - 0.27],
            "marker": {"symbol": "diamond", "size": 9, "color": "@ink"},
            "hovertemplate": "mean %{x:.4~g}<extra></extra>",
        },
        {
            **marks,
            "x": [short(summary.median)],
            "y": [row],
            "marker": {"symbol": "line-ns", "size": 18, "line": {"color": "@ink", "width": 2.4}},
            "hovertemplate": "median %{x:.4~g}<extra></extra>",
        },
    ]


def jitter(n: int, of: int) -> float:
    """Where the n-th point is beside the middle of its row: apart from its neighbours, the same each time."""
    return 0.0 if of == 1 else 0.02 + 0.3 * ((n * 0.618034) % 1)


def pair_figures(comparison: Comparison, metric: str, pairs: list[Pair]) -> list[Figure]:
    """Dots and whiskers of the probabilities of improvement, and of the differences of means."""
    names = [f"{label(pair.a, 16)}<br>over {label(pair.b, 16)}" for pair in pairs]
    minus = [f"{label(pair.a, 16)}<br>less {label(pair.b, 16)}" for pair in pairs]
    probability = dots([pair.probability for pair in pairs], [pair.interval for pair in pairs])
    difference = dots([pair.difference for pair in pairs], [pair.difference_interval for pair in pairs])
    left, right = rows_layout(names, "probability of improvement"), rows_layout(minus, "difference of means")
    left["xaxis"]["range"] = [-0.03, 1.03]
    left["shapes"], right["shapes"] = [line_across(0.5)], [line_across(0.0)]
    return [
        {
            "id": f"improvement-{metric}",
            "title": f"{metric}: probability that a run of the first is better",
            "alt": f"{metric}: probability of improvement of each pair of groups, with its interval; the line is 1/2",
            "data": probability,
            "layout": left,
        },
        {
            "id": f"difference-{metric}",
            "title": f"{metric}: difference of means ({direction(comparison.metrics[metric])})",
            "alt": f"{metric}: difference of the means of each pair of groups, with its interval; the line is 0",
            "data": difference,
            "layout": right,
        },
    ]


def dots(centres: list[float], ends: list[tuple[float, float] | None]) -> list[dict[str, Any]]:
    """One dot a row; hollow where there is no interval."""
    sure = [
        (row, centre, pair) for row, (centre, pair) in enumerate(zip(centres, ends, strict=True)) if pair is not None
    ]
    unsure = [(row, centre) for row, (centre, pair) in enumerate(zip(centres, ends, strict=True)) if pair is None]
    style = {"size": 10, "color": "@ink", "line": {"color": "@ink", "width": 2}}
    marks = {"type": "scatter", "mode": "markers", "hovertemplate": "%{x:.4~g}<extra></extra>"}
    full = {
        "x": [short(centre) for _, centre, _ in sure],
        "y": [row for row, _, _ in sure],
        "error_x": whiskers([centre for _, centre, _ in sure], [pair for _, _, pair in sure]),
        "marker": {**style, "symbol": "circle"},
    }
    hollow = {
        "x": [short(centre) for _, centre in unsure],
        "y": [row for row, _ in unsure],
        "marker": {**style, "symbol": "circle-open"},
    }
    return [{**marks, **trace} for trace in (full, hollow) if trace["x"]]


def best_of_figure(comparison: Comparison, metric: str) -> Figure | None:
    """The expected best of 1, 2, ... trials of each group that was tuned."""
    found = comparison.best_of.get(metric, {})
    longest = max(map(len, found.values()), default=0)
    traces = []
    for i, group in enumerate(comparison.groups):
        if best := found.get(group):
            trials, best = thinned(list(range(1, len(best) + 1)), best)
            style = look(i)
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": label(group),
                    "group": i,
                    "x": trials,
                    "y": [short(value) for value in best],
                    "line": {"color": style["colour"], "dash": style["dash"], "width": 2.2},
                    "marker": {"symbol": style["marker"], "size": 7, "color": style["colour"], "maxdisplayed": 12},
                    "hovertemplate": "best of %{x}: %{y:.4~g}<extra>%{fullData.name}</extra>",
                }
            )
    if not traces:
        return None
    return {
        "id": f"best-{metric}",
        "title": f"{metric}, {direction(comparison.metrics[metric])}",
        "alt": f"expected best {metric} of N trials, by N",
        "data": traces,
        "layout": {
            "height": 300,
            "hovermode": "closest",
            "xaxis": {"title": {"text": "trials"}, **({"dtick": 1} if longest <= 12 else {})},
            "yaxis": {"title": {"text": label(f"best {metric}")}},
        },
    }


def importance_figure(comparison: Comparison, metric: str) -> Figure | None:
    """A bar for each setting, the most important on top."""
    found = sorted(comparison.importance.get(metric, {}).items(), key=lambda item: -item[1])[:12]
    if not found:
        return None
    layout = rows_layout([label(key, 32) for key, _ in found], "importance")
    layout["height"] = 90 + 30 * len(found)
    layout["xaxis"]["range"] = [0, 1.15 * max(found[0][1], 0.05)]
    return {
        "id": f"importance-{metric}",
        "title": f"{metric}: importance of each setting",
        "alt": f"importance for {metric}: " + ", ".join(f"{key} {number(value)}" for key, value in found),
        "data": [
            {
                "type": "bar",
                "orientation": "h",
                "x": [short(value) for _, value in found],
                "y": list(range(len(found))),
                "width": 0.6,
                "marker": {"color": "@g0"},
                "text": [f"{value:.2f}" for _, value in found],
                "textposition": "outside",
                "cliponaxis": False,
                "hovertemplate": "%{x:.3~g}<extra></extra>",
            }
        ],
        "layout": layout,
    }
