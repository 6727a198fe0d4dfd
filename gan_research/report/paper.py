"""A comparison for a paper: its figures as SVG and PDF, and its table for LaTeX."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from gan_research.report.comparison import Comparison
from gan_research.report.page.content import TITLES, metric_panels, wide
from gan_research.report.page.figures import Curves, Panel, matrix_of, style_of
from gan_research.report.page.text import shortened
from gan_research.report.records import METRICS
from gan_research.report.table import ARROWS
from gan_research.utils.files import write_atomically
from gan_research.utils.plotting import BOUND, SERIES, panels, styled, vector

WIDTH = 3.4  # inches: a column of a paper of two
FORMATS: tuple[Literal["svg", "pdf"], ...] = ("svg", "pdf")
DASHES = {"dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3)), "longdashdot": (0, (8, 3, 2, 3))}
MARKERS = {"square": "s", "diamond": "D", "triangle-up": "^", "cross": "P", "triangle-down": "v", "star": "*"}
WORSE_TO_BETTER = LinearSegmentedColormap.from_list("improvement", ["#f5b98a", "#ffffff", "#9cc9ec"])


def write_paper(comparison: Comparison, folder: Path) -> list[str]:
    """Write the figures as SVG and PDF, and table.tex; return the names of the figures."""
    from gan_research.report.latex import latex_table

    names = []
    with matplotlib.rc_context({"text.parse_math": False}):  # names may contain $
        for name, figure in figures_of(comparison):
            names.append(re.sub(r"[^\w.-]+", "_", name))
            for format in FORMATS:
                write_atomically(folder / f"{names[-1]}.{format}", vector(figure, format))
    write_atomically(folder / "table.tex", latex_table(comparison).encode(errors="replace"))
    return names


def figures_of(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure): each metric's curves, distribution and, of several groups, matrix of improvement."""
    curves = cache(comparison.curves)
    for metric, panel in zip(comparison.metrics, metric_panels(comparison, curves), strict=True):
        if curves(panel.scalar, comparison.axis):
            yield f"curves_{metric}", draw_curves(comparison, curves, panel)
        if comparison.summaries.get(metric):
            yield f"distribution_{metric}", draw_distribution(comparison, metric)
            if len(comparison.summaries[metric]) > 1:
                yield f"improvement_{metric}", draw_improvement(comparison, metric)


@styled
def draw_curves(comparison: Comparison, curves: Curves, panel: Panel) -> Figure:
    """Return the mean of each group over the axis, with its band."""
    figure, ((axes,),) = panels(width=WIDTH, height=2.7)
    groups = list(comparison.groups)
    drawn = curves(panel.scalar, comparison.axis)
    for group, curve in drawn.items():
        i = groups.index(group)
        dash, colour = DASHES.get(style_of(i)["dash"], "-"), SERIES[i % len(SERIES)]
        axes.plot(curve.x, curve.mean, color=colour, linestyle=dash, linewidth=1.4, label=shortened(group, 40))
        known = [n for n, low in enumerate(curve.low) if low is not None]
        ends = ([end[n] for n in known] for end in (curve.low, curve.high))
        axes.fill_between([curve.x[n] for n in known], *ends, color=colour, alpha=0.18, linewidth=0)
        for record in comparison.groups[group] if not known else ():  # too few runs for a band
            axes.plot(*record.series(panel.scalar, comparison.axis), color=colour, alpha=0.4, linewidth=0.6)
    if panel.reference is not None:
        y, text = panel.reference
        axes.axhline(y, color=BOUND, linestyle=":", linewidth=1.2)
        axes.annotate(text, (0, y), (2, 2), ("axes fraction", "data"), "offset points", fontsize=8)
    if panel.logarithmic and wide(curves, panel.scalar, comparison.axis):
        label_decades(axes)
    else:
        cut_bands(axes, [y for curve in drawn.values() for y in curve.mean])
    axes.set(xlabel=TITLES[comparison.axis], ylabel=with_arrow(comparison, panel.scalar.removeprefix(METRICS)))
    if len(drawn) > 1:
        figure.legend(loc="outside upper left", ncols=2)
    return figure


def with_arrow(comparison: Comparison, metric: str) -> str:
    """Return a metric with an arrow in its better direction."""
    return f"{metric} {ARROWS[comparison.metrics[metric]]}"


def cut_bands(axes: Axes, means: list[float]) -> None:
    """Limit the y axis to 60 % more than the means span: wide bands would flatten the lines."""
    margin, (low, high) = 0.6 * (max(means) - min(means)), axes.get_ylim()
    if margin > 0:
        axes.set_ylim(max(low, min(means) - margin), min(high, max(means) + margin))


def label_decades(axes: Axes) -> None:
    """Set a logarithmic y axis, labelled at 1, 2 and 5 of each decade; over many, at powers of ten."""
    low, high = axes.get_ylim()
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if low > 0 and high / low > 1e4 else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


@styled
def draw_distribution(comparison: Comparison, metric: str) -> Figure:
    """Return each run as a point, with the mean, interval and median of each group."""
    summaries = comparison.summaries[metric]
    rows = [(i, group) for i, group in enumerate(comparison.groups) if group in summaries]
    figure, ((axes,),) = panels(width=WIDTH, height=0.7 + 0.34 * len(rows))
    for row, (i, group) in enumerate(rows):
        summary, colour = summaries[group], SERIES[i % len(SERIES)]
        for run, value in summary.values.items():
            marker = "x" if comparison.warnings.get(run) else MARKERS.get(style_of(i)["marker"], "o")
            axes.plot(value, row + 0.12, marker, color=colour, markersize=4.5, alpha=0.8)
        ends = None if summary.interval is None else [[abs(end - summary.mean)] for end in summary.interval]
        axes.errorbar(
            summary.mean, row - 0.2, xerr=ends, fmt="D", color="black", markersize=4, capsize=2.5, linewidth=1
        )
        axes.plot([summary.median] * 2, [row, row + 0.24], color="black", linewidth=1.4)
    axes.set_yticks(range(len(rows)), [shortened(group, 30) for _, group in rows])
    axes.set(xlabel=with_arrow(comparison, metric), ylim=(len(rows) - 0.5, -0.6))
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


@styled
def draw_improvement(comparison: Comparison, metric: str) -> Figure:
    """Return the matrix of probabilities that a run of the row is better."""
    groups, values, texts = matrix_of(comparison, metric)
    size, names = len(groups), [shortened(group, 24) for group in groups]
    side = 0.42 * size + 0.5 + 0.07 * max(map(len, names))  # inches: the cells, and the names along both axes
    figure, ((axes,),) = panels(width=side, height=side)
    numbers = [[float("nan") if value is None else value for value in row] for row in values]
    axes.imshow(numbers, cmap=WORSE_TO_BETTER, vmin=0, vmax=1)
    for row, column in ((r, c) for r in range(size) for c in range(size)):
        axes.text(column, row, texts[row][column], ha="center", va="center", fontsize=7)
    axes.set_xticks(range(size), names, rotation=40, ha="left")
    axes.set_yticks(range(size), names)
    axes.tick_params(length=0, top=False, bottom=False, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("P(row better\nthan column)")
    return figure
