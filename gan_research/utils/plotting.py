"""Figures in one style, written as PNG and SVG, and films of them as GIF."""

import math
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically

# Okabe & Ito's colours, which colour-blind people can tell apart. The roles: Goodfellow et al. 2014, figure 1.
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
}
PIXELS_PER_INCH = 110

styled = matplotlib.rc_context(STYLE)
"""Decorates what draws: the style applies inside, and nobody else's figures change."""


@styled
def panels(rows: int = 1, columns: int = 1, width: float = 3.2, height: float = 2.6, **options: Any) -> Any:
    """A figure of rows x columns panels, each `width` x `height` inches: (figure, array of axes (rows, columns))."""
    figure = Figure(figsize=(columns * width, rows * height), dpi=PIXELS_PER_INCH, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


@styled
def mosaic(rows: Any, heights: list[float], width: float = 3.2, film: bool = False) -> tuple[Figure, dict[str, Axes]]:
    """A figure of panels, rows of names of `heights` inches and columns of `width`: (figure, axes by name).

    In a film margins are fixed: the same in each frame, and laid out in no time.
    """
    size = (width * len(rows[0]), sum(heights))
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH, layout=None if film else "constrained")
    if film:
        figure.subplots_adjust(left=0.6 / size[0], right=1 - 0.5 / size[0], bottom=0.5 / size[1], top=1 - 0.4 / size[1])
        figure.subplots_adjust(wspace=0.3, hspace=0.4)
    return figure, figure.subplot_mosaic(rows, height_ratios=heights)


def finite(**values: Any) -> None:
    """Raise a UserError that names the first of `values` (tensors or numbers) that isn't finite: it can't be drawn."""
    for name, value in values.items():
        if not torch.as_tensor(value).isfinite().all():
            raise UserError(f"{name}: not finite, so it can't be drawn; has the training diverged?")


@styled
def pixels(figure: Figure) -> Image.Image:
    """The figure as an RGB picture."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    return Image.frombuffer("RGBA", (width, height), canvas.buffer_rgba(), "raw", "RGBA", 0, 1).convert("RGB")


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    file = BytesIO()
    pixels(figure).save(file, "png", optimize=True)
    return file.getvalue()


@styled
def write_figure(figure: Figure, stem: Path) -> Path:
    """stem.png and stem.svg; the path of the first."""
    svg = BytesIO()
    figure.savefig(svg, format="svg", metadata={"Date": None})
    write_atomically(stem.with_suffix(".svg"), svg.getvalue())
    write_atomically(stem.with_suffix(".png"), png(figure))
    return stem.with_suffix(".png")


def write_film(frames: Iterable[Figure], path: Path, seconds: float = 8.0) -> Path:
    """A GIF that plays `frames` (all of one size) in `seconds` and rests on the last one; `path`."""
    pictures = [pixels(frame).quantize(64, dither=Image.Dither.NONE) for frame in frames]
    if not pictures:
        raise UserError(f"{path.name}: a film needs at least one frame")
    each = max(20, round(1000 * seconds / len(pictures)))
    file = BytesIO()
    durations = [each] * (len(pictures) - 1) + [2000]
    pictures[0].save(file, "gif", save_all=True, append_images=pictures[1:], duration=durations, loop=0)
    write_atomically(path, file.getvalue())
    return path


def over_rounds(axes: Axes, rounds: int, **labels: Any) -> None:
    """A time axis up to `rounds` that gives the beginning, where most happens, more room: square roots."""
    axes.set_xscale("function", functions=(lambda x: x.clip(0) ** 0.5, lambda x: x**2))
    axes.set(xlim=(0, max(rounds, 1)), xlabel="round", **labels)
    unit = 10 ** max(0, int(math.log10(max(rounds, 1))) - 1)
    axes.set_xticks(sorted({int(rounds * share) // unit * unit for share in (0, 0.05, 0.2, 0.5, 1)}))
