"""Figures in one style, written as PNG and SVG, and films of them as GIF."""

import math
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.images import film

# Okabe & Ito's colours, safe for colour-blind readers. The roles: Goodfellow et al. 2014, figure 1.
DATA, GENERATOR, DISCRIMINATOR, OPTIMUM, BOUND = "#000000", "#009E73", "#0072B2", "#E69F00", "#999999"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "svg.hashsalt": "gan_research",  # the same figure is the same file
    "pdf.fonttype": 42,  # TrueType, which journals require
}
PIXELS_PER_INCH = 110

styled = matplotlib.rc_context(STYLE)  # a decorator of functions that draw: the style applies inside them only


@styled
def panels(rows: int = 1, columns: int = 1, width: float = 3.2, height: float = 2.6, **options: Any) -> Any:
    """Return (figure, axes (rows, columns)), each panel of `width` x `height` inches."""
    figure = Figure(figsize=(columns * width, rows * height), dpi=PIXELS_PER_INCH, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@styled
def mosaic(
    rows: Any, heights: list[float], width: float = 3.2, film: bool = False, solid: tuple[str, ...] = ()
) -> tuple[Figure, dict[str, Any]]:
    """Return (figure, axes by name) of rows of panels of `heights` inches, in columns of `width`.

    In a film margins are fixed: equal in all frames, and fast. The axes in `solid` have three dimensions.
    """
    size = (width * len(rows[0]), sum(heights))
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH, layout=None if film else "constrained")
    if film:
        figure.subplots_adjust(left=0.6 / size[0], right=1 - 0.5 / size[0], bottom=0.5 / size[1], top=1 - 0.4 / size[1])
        figure.subplots_adjust(wspace=0.3, hspace=0.4)
    projections: Any = {solid: {"projection": "3d", "computed_zorder": False}} if solid else None
    return figure, figure.subplot_mosaic(rows, height_ratios=heights, per_subplot_kw=projections)


def finite(**values: Any) -> None:
    """Raise a UserError that names the first of `values` (tensors or numbers) that isn't finite."""
    for name, value in values.items():
        if not torch.as_tensor(value).isfinite().all():
            raise UserError(f"{name}: not finite, so it can't be drawn; has the training diverged?")


@styled
def pixels(figure: Figure) -> Image.Image:
    """Return the figure as an RGB image."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    return Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")


def png(figure: Figure) -> bytes:
    """Return the content of a PNG file of the figure."""
    file = BytesIO()
    pixels(figure).save(file, "png", optimize=True)
    return file.getvalue()


@styled
def vector(figure: Figure, format: Literal["svg", "pdf"]) -> bytes:
    """Return the content of an SVG or PDF file of the figure, without its date."""
    file = BytesIO()
    figure.savefig(file, format=format, metadata={"Date" if format == "svg" else "CreationDate": None})
    return file.getvalue()


@styled
def write_figure(figure: Figure, stem: Path) -> Path:
    """Write `stem`.png and `stem`.svg; return the path of the first."""
    write_atomically(stem.with_suffix(".svg"), vector(figure, "svg"))
    write_atomically(stem.with_suffix(".png"), png(figure))
    return stem.with_suffix(".png")


def write_film(frames: Iterable[Figure], path: Path, seconds: float = 8.0) -> Path:
    """Write `frames`, all of one size, as a GIF of `seconds`; return `path`."""
    images = [pixels(frame).quantize(64, dither=Image.Dither.NONE) for frame in frames]
    if not images:
        raise UserError(f"{path.name}: a film needs at least one frame")
    each = max(20, round(1000 * seconds / len(images)))
    write_atomically(path, film(images, "gif", [each] * (len(images) - 1) + [2000]))
    return path


def over_rounds(axes: Axes, rounds: int, **labels: Any) -> None:
    """Set an axis of rounds on a square-root scale, which shows more of the beginning."""
    axes.set_xscale("function", functions=(lambda x: x.clip(0) ** 0.5, lambda x: x**2))
    axes.set(xlim=(0, max(rounds, 1)), xlabel="round (square-root scale)", **labels)
    unit = 10 ** max(0, int(math.log10(max(rounds, 1))) - 1)
    axes.set_xticks(sorted({int(rounds * share) // unit * unit for share in (0, 0.05, 0.2, 0.5, 1)}))
