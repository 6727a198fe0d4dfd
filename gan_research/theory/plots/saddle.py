"""The value as a surface over the densities at a point, and as a saddle."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gan_research.theory.saddle import Location, Saddle
from gan_research.utils.plotting import DATA, OPTIMUM, mosaic, styled

PATH = "#D55E00"  # the color of the path of training
EXTENT, POINTS = 2.4, 49  # the surface spans [-EXTENT, EXTENT] in theta and phi
FINE = {"rcount": POINTS, "ccount": POINTS, "zorder": 1}  # all points of a surface, below its lines


class Surface(NamedTuple):
    """The value at D*, and D*, on a grid (n, n) of p_data and p_g."""

    real: Tensor
    fake: Tensor
    values: Tensor
    optimum: Tensor
    name: str  # D*, or its logit where that isn't log-odds


class SaddleView(NamedTuple):
    """A game's value on a grid (n, n), its saddle, and the path of training."""

    theta: Tensor
    phi: Tensor
    values: Tensor
    saddle: Saddle
    path: Tensor  # (rounds + 1, 2)
    heights: Tensor  # V on the path (rounds + 1,)
    ridge: Tensor  # V(D*, G) at the thetas (n,)


def view(game: Location, saddle: Saddle, path: Tensor) -> SaddleView:
    """Evaluate the value around the saddle and on the path (rounds + 1, 2)."""
    ticks = torch.linspace(-EXTENT, EXTENT, POINTS, dtype=torch.float64)
    theta, phi = torch.meshgrid(ticks, ticks, indexing="ij")
    ridge = game.value(torch.stack([ticks, ticks], -1))
    values = game.value(torch.stack([theta, phi], -1))
    floor = saddle.value - 2.5 * (ridge.max() - saddle.value)  # the value has no lower bound where D is wrong
    return SaddleView(theta, phi, values.clamp(min=floor), saddle, path, game.value(path).clamp(min=floor), ridge)


def draw_surface(axes: Any, surface: Surface) -> None:
    """Draw V(D*) over p_data and p_g at one point, with rays of equal D*."""
    low, high = surface.optimum.min().item(), surface.optimum.max().item()
    colors = colormaps["viridis"]((surface.optimum - low) / max(high - low, 1e-12))
    grid = (surface.real, surface.fake, surface.values)
    axes.plot_surface(*grid, facecolors=colors, shade=False, rasterized=True, **FINE)
    for ratio in (1 / 9, 1 / 3, 1.0, 3.0, 9.0):  # p_data / p_g, on which D* is constant
        p, q = min(1.0, ratio), min(1.0, 1 / ratio)
        at = ((surface.real - p).square() + (surface.fake - q).square()).argmin()
        height, best = surface.values.flatten()[at].item(), surface.optimum.flatten()[at].item()
        axes.plot([0, p], [0, q], [0, height], color=DATA, lw=0.8, zorder=5)
        axes.text(1.12 * p, 1.12 * q, height, f"{best:.2g}", fontsize=7.5, ha="center", va="center", zorder=6)
    axes.set_title(f"V at one x; color and numbers: {surface.name}")
    axes.set_xlabel("$p_{data}(x)$", labelpad=8)
    axes.set_ylabel("$p_g(x)$", labelpad=8)
    axes.view_init(elev=30, azim=40)


def draw_saddle(axes: Any, view: SaddleView, until: int | None = None) -> None:
    """Draw V(D, G) as a surface, with D* on it, and the first rounds' path."""
    stop = None if until is None else until + 1
    axes.plot_surface(view.theta, view.phi, view.values, cmap="Greys", alpha=0.55, rasterized=True, **FINE)
    ticks, path = view.theta[:, 0], view.path[:stop]
    axes.plot(ticks, ticks, view.ridge, color=OPTIMUM, lw=2, zorder=5)
    axes.plot(*path.T, view.heights[:stop], color=PATH, lw=1.5, zorder=6)
    axes.plot(*view.path[0, :, None], view.heights[:1], "o", color=PATH, mfc="white", ms=5, zorder=7)
    axes.plot(*view.saddle.state[:, None], view.saddle.value, "o", color=DATA, ms=5, zorder=7)
    axes.set(xlabel=r"$\theta$ (G)", ylabel=r"$\varphi$ (D)", title="V(D, G)")
    axes.view_init(elev=35, azim=-70)


def draw_saddle_from_above(axes: Axes, view: SaddleView, until: int | None = None) -> None:
    """Draw contours of V(D, G), with D*, the saddle, and the path of training."""
    stop = None if until is None else until + 1
    axes.contourf(view.theta, view.phi, view.values, levels=16, cmap="Greys", alpha=0.6)
    ticks = view.theta[:, 0]
    axes.plot(ticks, ticks, color=OPTIMUM, lw=2, label="D* of each G")
    axes.plot(*view.path[:stop].T, color=PATH, lw=1.5, label="training")
    axes.plot(*view.path[0], "o", color=PATH, mfc="white", ms=5, label="start")
    axes.plot(*view.saddle.state, "o", color=DATA, ms=5, label="equilibrium")
    axes.set(xlabel=r"$\theta$: $p_g$ = N($\theta$, 1)", ylabel=r"$\varphi$: D is best against N($\varphi$, 1)")
    axes.set(aspect="equal")


def film_saddle(view: SaddleView, frames: int = 24) -> Iterator[Figure]:
    """Draw the path of training on the saddle and from above."""
    last = len(view.path) - 1

    @styled
    def frame(i: int) -> Figure:
        figure, axes = mosaic([["saddle", "above"]], heights=[3.8], width=3.8, film=True, solid=("saddle",))
        draw_saddle(axes["saddle"], view, i)
        draw_saddle_from_above(axes["above"], view, i)
        axes["above"].set_title(f"round {i}")
        return figure

    return map(frame, sorted({round(last * (k / (frames - 1)) ** 1.5) for k in range(frames)}))
