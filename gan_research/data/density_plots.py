"""Figures of points: histograms and scatter plots, over the density that they are drawn from."""

from collections.abc import Iterable
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from gan_research.data.densities import Density
from gan_research.utils.plotting import DATA, GENERATOR, finite, panels, png, styled


@styled
def draw_points(axes: Axes, points: Tensor, density: Density | None = None, limits: Any = None) -> None:
    """Plot samples (N, dim): a histogram in 1-D, else a scatter plot of the first two coordinates.

    density: plotted below them. limits: (low, high) of each axis (default: the density's, else the samples').
    """
    points = points.detach().cpu().float()
    finite(samples=points)
    values = points.numpy()
    if limits is None:
        ends = zip(points.amin(0).tolist(), points.amax(0).tolist(), strict=True)
        limits = widen(ends, 0.05) if density is None else widen(density.bounds, 0.15)
    left, right = limits[0]
    if points.shape[1] == 1:
        axes.hist(values[:, 0].clip(left, right), bins=100, range=(left, right), density=True, color=GENERATOR)
        if density is not None:
            x = torch.linspace(left, right, 500)
            axes.plot(x.numpy(), density.log_prob(x[:, None]).exp().numpy(), ":", color=DATA)
        axes.set_xlim(left, right)
        return
    if density is not None:
        extent = (*density.bounds[0], *density.bounds[1])
        axes.imshow(density_image(density).numpy(), extent=extent, origin="lower", cmap="Greys", vmin=0, vmax=2)
    axes.scatter(values[:, 0], values[:, 1], s=2, alpha=0.5, color=GENERATOR, linewidths=0)
    axes.set(xlim=limits[0], ylim=limits[1], aspect="equal")


def density_image(density: Density, size: int = 200) -> Tensor:
    """Return p / max p of a 2-D density on a grid over its bounds: (size, size)."""
    x, y = (torch.linspace(low, high, size) for low, high in density.bounds)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    p = density.log_prob(grid).exp().reshape(size, size)
    return p / p.max()


def widen(bounds: Iterable[tuple[float, float]], share: float) -> list[tuple[float, float]]:
    """Extend each (low, high) on both sides by that share of its length."""
    margins = [(low, high, share * (high - low) + 1e-6) for low, high in bounds]
    return [(low - margin, high + margin) for low, high, margin in margins]


def points_png(points: Tensor, density: Density | None = None) -> bytes:
    """Return a figure of samples (N, dim) as a PNG file's content, see `draw_points`."""
    figure, axes = panels(width=4, height=4 if points.shape[1] > 1 else 3)
    draw_points(axes[0, 0], points, density)
    return png(figure)
