"""Names of curves at their ends, and the curves that are alike."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from scipy.optimize import isotonic_regression
from torch import Tensor

from gan_research.utils.plotting import PIXELS_PER_INCH

LABEL_SIZE = 7.5  # points


def label_ends(axes: Axes, lines: Iterable[Line2D] | None = None) -> None:
    """Write each line's label right of the axes, at the height of its end.

    Labels that would overlap are moved apart by the least squares that keep their order. Limits and scales must be set.
    """
    ends = [(line, *_end(axes, line)) for line in (axes.get_lines() if lines is None else lines)]
    ends = sorted((end for end in ends if _named(end[0])), key=lambda end: end[2])
    if not ends:
        return
    heights = [axes.transAxes.inverted().transform(axes.transData.transform(end[1:]))[1] for end in ends]
    texts = [str(line.get_label()) for line, *_ in ends]
    lines_of = torch.tensor([float(text.count("\n") + 1) for text in texts], dtype=torch.float64)
    step = 1.3 * LABEL_SIZE / 72 * PIXELS_PER_INCH / (0.75 * axes.bbox.height)  # the layout leaves that share
    gaps = torch.cat([torch.zeros(1), step * (lines_of[1:] + lines_of[:-1]) / 2]).cumsum(0).numpy()
    places = isotonic_regression(torch.tensor(heights).numpy() - gaps).x + gaps
    for (line, x, y), text, place in zip(ends, texts, places, strict=True):
        color = line.get_color()
        connector = {"arrowstyle": "-", "color": color, "lw": 0.5, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            color=color,
            fontsize=LABEL_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops=connector,
        )


def _named(line: Line2D) -> bool:
    return not str(line.get_label()).startswith("_")


def _end(axes: Axes, line: Line2D) -> tuple[float, float]:
    """Return the last point of a line within the limits of the axes; the first one if none is."""
    points = torch.as_tensor(line.get_xydata())
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    inside = (points >= points.new_tensor([left, low])) & (points <= points.new_tensor([right, high]))
    x, y = points[inside.all(1).nonzero().flatten()[-1] if inside.all(1).any() else 0].tolist()
    return x, y


def legend_above(axes: Axes, lines: Sequence[Line2D] | None = None, columns: int = 9) -> None:
    """Add a legend above the axes, where there are no data: of these lines, or of all that has a label."""
    place = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2, "ncols": columns}
    place |= {"columnspacing": 1.2, "handlelength": 1.8}
    axes.legend(**({} if lines is None else {"handles": lines}), **place)


def distinct(curves: Mapping[str, Tensor]) -> dict[tuple[str, ...], Tensor]:
    """Return the different curves, each by the names that share it."""
    found: dict[tuple[str, ...], Tensor] = {}
    for name, curve in curves.items():
        same = next((names for names, other in found.items() if torch.allclose(curve, other, rtol=1e-6)), ())
        found = {k: v for k, v in found.items() if k != same} | {(*same, name): curve}
    return found


def plain_log_ticks(axes: Axes) -> None:
    """Write plain numbers on a logarithmic y axis; at 1, 2, 5 below two decades."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def with_gaps(values: Sequence[float | None], least: float) -> Tensor:
    """Clamp a series for a logarithmic axis to `least`; None becomes a gap."""
    return torch.tensor([math.nan if value is None else max(value, least) for value in values])
