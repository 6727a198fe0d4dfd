"""The figures and the film of the Dirac-GAN."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from torch import Tensor

from gan_research.theory.dirac_dynamics import Verdict
from gan_research.theory.dirac_table import CODES, WAYS, Row
from gan_research.theory.plots.labels import plain_log_ticks
from gan_research.utils.plotting import BOUND, DATA, SERIES, mosaic, panels, styled

COLORS = dict(zip(WAYS, SERIES, strict=False))
"""The color of the flow and of both kinds of steps, in all panels."""

STARTS = {"from afar": "-", "from nearby": "--"}  # the line of each of `dirac_dynamics.STARTS`


class Arrows(NamedTuple):
    """A field on a grid of states (theta, psi), each (points, points), up to `extent`."""

    theta: Tensor
    psi: Tensor
    directions: Tensor  # the unit vectors (points, points, 2)
    lengths: Tensor
    extent: float


def sampled_field(field: Callable[[Tensor], Tensor], extent: float = 1.5, points: int = 15) -> Arrows:
    """Evaluate a field, states (..., 2) -> (..., 2), on a grid."""
    ticks = torch.linspace(-extent, extent, points, dtype=torch.float64)
    theta, psi = torch.meshgrid(ticks, ticks, indexing="xy")
    v = field(torch.stack([theta, psi], -1))
    lengths = v.norm(dim=-1)
    return Arrows(theta, psi, v / lengths[..., None].clamp(min=1e-12), lengths, extent)


@styled
def draw_dirac(
    title: str, arrows: Arrows, paths: Mapping[str, Tensor], verdicts: Mapping[str, str], time: float
) -> Figure:
    """Draw the field, each path (T, starts, 2) with its verdict, and distances from the equilibrium."""
    figure, axes = panels(1, len(paths) + 1, width=3.1, height=3.5)
    *fields, radius = axes[0]
    for axis, (way, path) in zip(fields, paths.items(), strict=True):
        draw_path(axis, arrows, path, COLORS[way])
        axis.set_title(f"{way}: {verdicts[way]}", color=COLORS[way])
        radii = path.norm(dim=-1).nan_to_num(nan=1e6).clamp(1e-12, 1e6)
        for distances, line in zip(radii.T, STARTS.values(), strict=True):
            radius.plot(torch.linspace(0, time, len(radii)), distances, line, color=COLORS[way], lw=1.2)
    radius.set(title="distance from (0, 0)", xlabel="time (steps x rate)", yscale="log")
    plain_log_ticks(radius)
    names = [Line2D([], [], color=color, label=way) for way, color in COLORS.items()]
    names += [Line2D([], [], color=BOUND, ls=line, label=start) for start, line in STARTS.items()]
    marks = (("o", "none", "start"), ("o", BOUND, "end"), ("+", BOUND, "equilibrium"))
    names += [Line2D([], [], color=BOUND, marker=m, mfc=fill, ls="", label=label) for m, fill, label in marks]
    figure.legend(handles=names, loc="outside lower center", ncols=len(names))
    figure.suptitle(title)
    return figure


def draw_path(axes: Axes, arrows: Arrows, path: Tensor, color: str) -> None:
    """Draw a path (T, starts, 2) from circle to dot, on a field, darker where strong."""
    u, length = arrows.directions, arrows.lengths.log1p()
    axes.quiver(arrows.theta, arrows.psi, u[..., 0], u[..., 1], length, cmap="Greys", clim=(-0.5, 1.5), width=0.005)
    for start, line in enumerate(STARTS.values()):
        axes.plot(*path[:, start].T, line, color=color, lw=1.2)
        axes.plot(*path[0, start], "o", color=color, mfc="white", ms=5)
        axes.plot(*path[-1, start], "o", color=color, ms=5)
    axes.plot(0, 0, "+", color=DATA, ms=9)
    limits = (-arrows.extent, arrows.extent)
    axes.set(xlim=limits, ylim=limits, xlabel=r"$\theta$ (generator)", aspect="equal")
    axes.set_ylabel(r"$\psi$ (discriminator)")


def film_dirac(title: str, arrows: Arrows, paths: Mapping[str, Tensor], frames: int = 40) -> Iterator[Figure]:
    """Draw the paths, of equal length, side by side over time."""
    last = len(next(iter(paths.values()))) - 1

    @styled
    def frame(i: int) -> Figure:
        figure, axes = mosaic([list(paths)], heights=[3.8], width=3.6, film=True)
        for way, path in paths.items():
            draw_path(axes[way], arrows, path[: i + 1], COLORS[way])
            axes[way].set_title(f"{way}, round {i:,}", color=COLORS[way])
        figure.suptitle(title)
        return figure

    return map(frame, sorted({round(last * k / (frames - 1)) for k in range(frames)}))


VERDICTS: dict[Verdict, str] = {
    "converges": "#009E73",
    "converges sublinearly": "#56B4E9",
    "cycles": "#F0E442",
    "diverges": "#D55E00",
    "refused": "#DDDDDD",
}  # the color of each verdict on a Dirac-GAN


@styled
def draw_dirac_table(rows: Sequence[Row]) -> Figure:
    """Draw the verdicts on losses (rows) with regularizers (columns): flow and both kinds of steps."""
    losses, regularizers = (list(dict.fromkeys(getattr(row, kind) for row in rows)) for kind in ("loss", "regularizer"))
    kinds, colors = list(VERDICTS), ListedColormap(list(VERDICTS.values()))
    figure, axes = panels(1, 3, width=4.4, height=0.8 + 0.24 * len(losses), sharey=True)
    for axis, way in zip(axes[0], WAYS, strict=True):
        table = torch.zeros(len(losses), len(regularizers))
        for row in rows:
            at = losses.index(row.loss), regularizers.index(row.regularizer)
            table[at] = kinds.index(getattr(row, way))
            axis.text(*at[::-1], CODES[getattr(row, way)], ha="center", va="center", fontsize=7)
        axis.imshow(table, cmap=colors, vmin=-0.5, vmax=len(kinds) - 0.5, aspect="auto")
        axis.set_xticks(range(len(regularizers)), regularizers, rotation=90)
        axis.set_yticks(range(len(losses)), losses)
        axis.set_title(way if way == "flow" else f"{way} steps")
    patches = [Patch(color=color, label=f"{CODES[kind]}  {kind}") for kind, color in VERDICTS.items()]
    figure.legend(handles=patches, ncols=len(patches), loc="outside lower center")
    return figure
