"""The figures of the page, as Plotly's JSON.

The page fills in the reader's choices. A colour is a name in the page's CSS: "@ink", "@g3" (group 3) or "@g3/0.2"
(with that opacity). A long array is an index of `Arrays`; one for each axis is {"round": 3, "seconds": 4}.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from gan_research.report.comparison import Comparison, Pair, Summary
from gan_research.report.curves import Curve
from gan_research.report.page.text import label, number
from gan_research.report.records import AXES, METRICS
from gan_research.report.statistics import Interval

COLOURS = 8  # the number of groups with a colour of their own; with dashes and markers, 56 groups look different
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "8px,2px,2px,2px,2px,2px")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "triangle-down", "star")
POINTS = 250  # the maximum number of points of a curve
EACH_PAIR = "for each pair of groups, with its interval; the line is"
RUNS = 200  # the maximum number of single runs in a panel: the first of each group
Figure = dict[str, Any]
Trace = dict[str, Any]
Curves = Callable[[str, str], dict[str, Curve]]  # `Comparison.curves`, cached: scalar, axis -> curves
Points = Mapping[str, Sequence[Sequence[Any]]]  # axis -> x and y of a line


class Arrays:
    """Arrays that traces share, each kept once."""

    def __init__(self) -> None:
        self.all: list[list[float | None]] = []
        self._indices: dict[tuple[float | None, ...], int] = {}

    def add(self, values: Sequence[Any], digits: int = 5) -> int:
        """Return the index of an array, its values rounded to significant digits."""
        rounded = [None if value is None else rounded_to(value, digits) for value in values]
        if (key := tuple(rounded)) not in self._indices:
            self._indices[key] = len(self.all)
            self.all.append(rounded)
        return self._indices[key]

    def add_points(self, points: Points) -> dict[str, dict[str, int]]:
        """Return x and y of a trace over each axis."""
        return {
            "x": {axis: self.add(x, 7) for axis, (x, _) in points.items()},
            "y": {axis: self.add(y) for axis, (_, y) in points.items()},
        }


def rounded_to(value: float, digits: int = 5) -> float:
    """Round to significant digits; a whole number becomes an int."""
    value = float(f"{value:.{digits}g}")
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def style_of(group: int) -> dict[str, Any]:
    dash, marker = DASHES[group % len(DASHES)], MARKERS[group % len(MARKERS)]
    return {"colour": f"@g{group % COLOURS}", "dash": dash, "marker": marker}


def thinned(*columns: Sequence[Any], most: int = POINTS) -> list[list[Any]]:
    """Return at most `most` values of each column, evenly spaced."""
    n = len(columns[0])
    chosen = range(n) if n <= most else [i * (n - 1) // (most - 1) for i in range(most)]
    return [[column[i] for i in chosen] for column in columns]


def line(name: str, colour: str, width: float, dash: str = "solid", x: str = "%{x:,.6~g}", **more: Any) -> Trace:
    """Return a line without its data; x is the template of its x when hovered over."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label(name, 40),
        "line": {"color": colour, "dash": dash, "width": width},
        "hovertemplate": f"{x}: %{{y:.4~g}}<extra>%{{fullData.name}}</extra>",
        **more,
    }


def group_line(i: int, group: str, x: str = "%{x:,.6~g}") -> Trace:
    """Return the line of a group with its markers, without its data."""
    style = style_of(i)
    marker = {"symbol": style["marker"], "size": 7, "color": style["colour"], "maxdisplayed": 9}
    return line(group, style["colour"], 2.2, style["dash"], x, mode="lines+markers", group=i, marker=marker)


class Panel(NamedTuple):
    """The panel of one scalar over the axis."""

    scalar: str
    title: str
    runs: bool = False  # draw single runs, too
    logarithmic: bool = False  # allow a logarithmic scale
    reference: tuple[float, str] | None = None  # y of a horizontal line, and its label


def curve_figure(arrays: Arrays, comparison: Comparison, curves: Curves, panel: Panel) -> Figure | None:
    """Return the mean of each group over each axis, with its band; None if no run has logged it."""
    drawn = {axis: curves(panel.scalar, axis) for axis in AXES}
    below: list[Trace] = []
    lines: list[Trace] = []
    for i, group in enumerate(comparison.groups):
        own = {axis: found[group] for axis, found in drawn.items() if group in found}
        if not any(curve.x for curve in own.values()):
            continue
        below += band(arrays, i, own)
        if panel.runs and len(comparison.groups[group]) > 1:
            below += single_runs(arrays, i, comparison, group, panel.scalar)
        means = {axis: thinned(curve.x, curve.mean) for axis, curve in own.items()}
        lines.append(group_line(i, group) | arrays.add_points(means))
    if not lines:
        return None
    if panel.reference is not None:  # as a trace, it is always inside the panel
        ends = {axis: [x for curve in of.values() for x in curve.x] or [0.0] for axis, of in drawn.items()}
        y, text = panel.reference
        flat = {axis: ([min(x), max(x)], [y] * 2) for axis, x in ends.items()}
        font = {"color": "@ink", "size": 12}
        labelled: dict[str, Any] = {
            "mode": "lines+text",
            "text": [text, ""],
            "textposition": "top right",
            "textfont": font,
        }
        lines.append(line(text, "@muted", 1.6, "dot", **labelled) | arrays.add_points(flat))
    alt = f"{panel.scalar} over training: one line for each group, the mean of its runs"
    scale = {"over": True, "logarithmic": panel.logarithmic}
    return new_figure(f"curve-{panel.scalar}", panel.title, alt, below + lines, layout_of(panel.scalar), **scale)


def band(arrays: Arrays, i: int, curves: dict[str, Curve]) -> list[Trace]:
    """Return the 95 % intervals of the mean as polygons, where there are several runs."""
    outlines = {axis: outline(*thinned(curve.x, curve.low, curve.high)) for axis, curve in curves.items()}
    outlines = {axis: points for axis, points in outlines.items() if points[0]}
    if not outlines:
        return []
    filled: dict[str, Any] = {"band": True, "fill": "toself", "fillcolor": f"@g{i % COLOURS}/0.18", "hoverinfo": "skip"}
    return [line("", "@ink", 0, group=i, **filled) | arrays.add_points(outlines)]


def outline(x: list[float], low: list[float | None], high: list[float | None]) -> tuple[list[Any], list[Any]]:
    """Return a polygon along `low` and back along `high`; one for each stretch without None, separated by None."""
    around_x: list[Any] = []
    around_y: list[Any] = []
    for missing, indices in groupby(range(len(x)), lambda i: low[i] is None):
        stretch = list(indices)
        if not missing and len(stretch) > 1:
            gap, back = [None] if around_x else [], stretch[::-1]
            around_x += [*gap, *(x[i] for i in [*stretch, *back])]
            around_y += [*gap, *(low[i] for i in stretch), *(high[i] for i in back)]
    return around_x, around_y


def single_runs(arrays: Arrays, i: int, comparison: Comparison, group: str, scalar: str) -> list[Trace]:
    """Return a thin line for each run of a group that has logged a scalar."""
    traces = []
    for record in comparison.groups[group][: max(1, RUNS // len(comparison.groups))]:
        points = {axis: thinned(*record.series(scalar, axis)) for axis in AXES}
        if any(x for x, _ in points.values()):
            traces.append(line(record.name, f"@g{i % COLOURS}/0.4", 0.8, group=i) | arrays.add_points(points))
    return traces


def new_figure(id: str, title: str, alt: str, data: list[Trace], layout: dict[str, Any], **more: Any) -> Figure:
    """Return a figure; `alt` is its text for screen readers."""
    return {"id": id, "title": title, "alt": alt, "data": data, "layout": layout, **more}


def layout_of(y: str, **x: Any) -> dict[str, Any]:
    return {
        "height": 300,
        "hovermode": "closest",
        "xaxis": x,
        "yaxis": {"title": {"text": label(y.removeprefix(METRICS))}},
    }


def rows_layout(names: list[str], title: str, across: float | None = None) -> dict[str, Any]:
    """Return the layout of one row per name, with a line at x = across."""
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "range": [len(names) - 0.4, -0.6]}
    shape = {"type": "line", "x0": across, "x1": across, "y0": 0, "y1": 1, "yref": "paper"}
    return {
        "height": 100 + 44 * len(names),
        "hovermode": "closest",
        "xaxis": {"title": {"text": label(title, 60)}},
        "yaxis": {**ticks, "automargin": True, "showgrid": False, "zeroline": False},
        "shapes": [] if across is None else [{**shape, "line": {"color": "@muted", "width": 1.2, "dash": "dot"}}],
    }


def markers(
    x: list[float], y: list[float], marker: dict[str, Any], ends: list[Interval], name: str = "", **more: Any
) -> Trace:
    """Return markers, with error bars to the ends of their intervals if there are any."""
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [rounded_to(value) for value in x],
        "y": y,
        "marker": marker,
        "hovertemplate": f"{name}%{{x:.4~g}}<extra></extra>",
        **more,
    }
    if ends:
        above = [rounded_to(high - centre) for (_, high), centre in zip(ends, x, strict=True)]
        below = [rounded_to(centre - low) for (low, _), centre in zip(ends, x, strict=True)]
        bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
        trace["error_x"] = bars | {"color": "@ink", "thickness": 1.6, "width": 5}
    return trace


def distribution_figure(comparison: Comparison, metric: str) -> Figure | None:
    """Return each run as a point, with the mean, interval and median of each group."""
    summaries = comparison.summaries.get(metric, {})
    groups = [(i, group) for i, group in enumerate(comparison.groups) if group in summaries]
    if not groups:
        return None
    names = {record.id: record.name for record in comparison.records}
    warned = {run: ", ".join(words) for run, words in comparison.warnings.items() if words}
    data = [t for row, (i, group) in enumerate(groups) for t in row_of_runs(row, i, summaries[group], names, warned)]
    alt = f"{metric} of each run, by group, with mean, interval and median"
    layout = rows_layout([label(group, 22) for _, group in groups], metric)
    return new_figure(f"final-{metric}", comparison.heading(metric), alt, data, layout)


def row_of_runs(row: int, i: int, summary: Summary, names: dict[str, str], warned: dict[str, str]) -> list[Trace]:
    """Return a row of runs with their mean and median; runs with a warning are crosses."""
    style, values = style_of(i), list(summary.values.values())
    symbols = ["x-thin" if run in warned else style["marker"] for run in summary.values]
    outline = {"color": style["colour"], "width": [2.4 if run in warned else 0 for run in summary.values]}
    run_style = {"symbol": symbols, "size": 9, "color": f"{style['colour']}/0.75", "line": outline}
    mean_style = {"symbol": "diamond", "size": 9, "color": "@ink"}
    median_style = {"symbol": "line-ns", "size": 18, "line": {"color": "@ink", "width": 2.4}}
    below = [0.02 + 0.3 * (n * 0.618034 % 1) for n in range(len(values))] if len(values) > 1 else [0.0]
    ends = [] if summary.interval is None else [summary.interval]
    texts = [label(", ".join(filter(None, (names.get(run, run), warned.get(run)))), 40) for run in summary.values]
    return [
        markers(values, [row + y for y in below], run_style, [], "%{text}: ", text=texts, group=i),
        markers([summary.mean], [row - 0.27], mean_style, ends, "mean ", group=i),
        markers([summary.median], [row], median_style, [], "median ", group=i),
    ]


def improvement_figure(metric: str, pairs: list[Pair]) -> Figure:
    """Return the probability of improvement of each pair, with its interval."""
    layout = rows_layout([over(pair, "over") for pair in pairs], "probability of improvement", 0.5)
    layout["xaxis"]["range"] = [-0.03, 1.03]
    title = f"{metric}: probability that a run of the first is better"
    data = dots([pair.probability for pair in pairs], [pair.interval for pair in pairs])
    return new_figure(f"improvement-{metric}", title, f"{title}, {EACH_PAIR} 1/2", data, layout)


def difference_figure(comparison: Comparison, metric: str, pairs: list[Pair]) -> Figure:
    """Return the difference of means of each pair, with its interval."""
    layout = rows_layout([over(pair, "minus") for pair in pairs], "difference of means", 0.0)
    title = f"{comparison.heading(metric)}: difference of means"
    data = dots([pair.difference for pair in pairs], [pair.difference_interval for pair in pairs])
    return new_figure(f"difference-{metric}", title, f"{title}, {EACH_PAIR} 0", data, layout)


def over(pair: Pair, word: str) -> str:
    return f"{label(pair.a, 16)}<br>{word} {label(pair.b, 16)}"


def matrix_of(comparison: Comparison, metric: str) -> tuple[list[str], list[list[float | None]], list[list[str]]]:
    """Return the groups, the best mean first, P(row better than column), and its texts.

    A star marks a difference beyond seed noise.
    """
    means = {group: summary.mean for group, summary in comparison.summaries[metric].items()}
    groups = sorted(means, key=means.__getitem__, reverse=comparison.metrics[metric] == "max")
    found, marked = comparison.probabilities(metric), comparison.distinguished(metric)
    values = [[rounded_to(found[a][b]) if b in found[a] else None for b in groups] for a in groups]
    texts = [[f"{found[a][b]:.2f}{'*' * ((a, b) in marked)}" if b in found[a] else "" for b in groups] for a in groups]
    return groups, values, texts


def matrix_figure(comparison: Comparison, metric: str) -> Figure:
    """Return the probabilities of improvement of all pairs as a heat map; with their numbers for up to 14 groups."""
    groups, values, texts = matrix_of(comparison, metric)
    names, places = [label(group, 16) for group in groups], list(range(len(groups)))
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False, "ticks": ""}
    heat = {
        "type": "heatmap",
        "x": places,
        "y": places,
        "z": values,
        "zmin": 0,
        "zmax": 1,
        "colorscale": [[0, "@worse"], [0.5, "@panel"], [1, "@better"]],
        "showscale": False,
        "xgap": 1,
        "ygap": 1,
        "text": texts,
        "texttemplate": "%{text}" if len(groups) <= 14 else "",
        "textfont": {"color": "@ink", "size": 11},
        "customdata": [[f"{row} over {column}" for column in names] for row in names],
        "hovertemplate": "%{customdata}: %{text}<extra></extra>",
        "hoverongaps": False,
    }
    layout = {
        "height": 110 + 30 * len(groups),
        "hovermode": "closest",
        "margin": {"r": 70, "b": 8},
        "xaxis": {**ticks, "side": "top", "tickangle": -40, "ticklabeloverflow": "allow"},
        "yaxis": {**ticks, "autorange": "reversed", "automargin": True},
    }
    title = f"{metric}: probability that a run of the row is better than one of the column"
    return new_figure(f"matrix-{metric}", title, title, [heat], layout, least=190 + 44 * len(groups))


def dots(centres: list[float], ends: list[Interval | None]) -> list[Trace]:
    """Return a dot for each row; hollow without an interval."""
    style = {"size": 10, "color": "@ink", "line": {"color": "@ink", "width": 2}}
    traces = []
    for symbol, hollow in (("circle", False), ("circle-open", True)):
        if rows := [row for row, pair in enumerate(ends) if (pair is None) == hollow]:
            known = [pair for row in rows if (pair := ends[row]) is not None]
            traces.append(markers([centres[row] for row in rows], [*rows], {**style, "symbol": symbol}, known))
    return traces


def best_of_figure(comparison: Comparison, metric: str) -> Figure | None:
    """Return the expected best of 1, 2, ... trials of each group that was tuned."""
    found = comparison.best_of.get(metric, {})
    if not found:
        return None
    traces = []
    for i, group in enumerate(comparison.groups):
        if best := found.get(group):
            trials, best = thinned(range(1, len(best) + 1), best)
            y = [rounded_to(value) for value in best]
            traces.append(group_line(i, group, "best of %{x}") | {"x": trials, "y": y})
    ticks = {"dtick": 1} if max(map(len, found.values())) <= 12 else {}
    layout = layout_of(f"best {metric}", title={"text": "trials"}, **ticks)
    alt = f"expected best {metric} of N trials, by N"
    return new_figure(f"best-{metric}", comparison.heading(metric), alt, traces, layout)


def importance_figure(comparison: Comparison, metric: str) -> Figure | None:
    """Return a bar for each setting, the most important on top."""
    found = sorted(comparison.importance.get(metric, {}).items(), key=lambda item: -item[1])[:12]
    if not found:
        return None
    layout = rows_layout([label(key, 32) for key, _ in found], "importance")
    layout["height"] = 90 + 30 * len(found)
    layout["xaxis"]["range"] = [0, 1.15 * max(found[0][1], 0.05)]
    bars = {
        "type": "bar",
        "orientation": "h",
        "x": [rounded_to(value) for _, value in found],
        "y": list(range(len(found))),
        "width": 0.6,
        "marker": {"color": "@g0"},
        "text": [f"{value:.2f}" for _, value in found],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{x:.3~g}<extra></extra>",
    }
    alt = f"importance for {metric}: " + ", ".join(f"{key} {number(value)}" for key, value in found)
    return new_figure(f"importance-{metric}", f"{metric}: importance of each setting", alt, [bars], layout)
