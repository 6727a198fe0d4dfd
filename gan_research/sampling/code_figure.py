"""Figures of the codes in a prior: samples in which one code takes its values."""

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure
from torch import Tensor

from gan_research.sampling.priors import CodedPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.images import grid, to_uint8
from gan_research.utils.plotting import PIXELS_PER_INCH, panels, png, styled

COLUMNS, POINTS = 10, 500  # latents in a figure of images, and of points
LEFT, TOP = 42, 26  # pixels for the values and for the title of a grid


def codes_png(sampler: Sampler, seed: int = 0, columns: int | None = None, label: int | None = None) -> bytes:
    """Return a PNG of samples in which one code takes its values; UserError if the prior has no codes.

    A grid or plot for each code: a row, or a colour, for each of its values, and a column, or a point, for each latent.
    Otherwise, a column's latents and class are the same in all grids.

    columns: number of latents. label: the class of all; by default the classes in turn.
    """
    prior = sampler.prior
    if not isinstance(prior, CodedPrior):
        raise UserError("this generator has no codes: train it with prior=coded head=infogan")
    sampler.require_plain("a figure of codes")
    n = columns or (POINTS if sampler.generates_points else COLUMNS)
    found = list(traversals(sampler, prior, sampler.latents(n, seed), sampler.labels(n, label)))
    if sampler.generates_points:
        return png(point_plots(found))
    return png(
        image_grids(
            [(title, values, grid(to_uint8(s.flatten(0, 1), sampler.value_range), n)) for title, values, s in found]
        )
    )


def traversals(
    sampler: Sampler, prior: CodedPrior, latents: Tensor, labels: Tensor | None
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (title, values (V,), samples (V, N, ...)) of each code."""
    codes = prior.codes
    for number in range(codes.categorical + codes.continuous):
        kind = "categorical" if number < codes.categorical else "continuous"
        values, varied = codes.vary(latents, number, codes.categories)
        repeated = None if labels is None else labels.repeat(len(values))
        samples = sampler.generate(varied.flatten(0, 1), repeated)
        yield f"code {number + 1}, {kind}", values, samples.unflatten(0, varied.shape[:2]).cpu()


@styled
def image_grids(grids: list[tuple[str, Tensor, Tensor]]) -> Figure:
    """Return a figure of grids in a row, pixel for pixel: (title, values of its rows, image (3, height, width))."""
    height, width = grids[0][2].shape[1:]
    size = len(grids) * (LEFT + width) + 4, TOP + height + 4
    figure = Figure(figsize=(size[0] / PIXELS_PER_INCH, size[1] / PIXELS_PER_INCH), dpi=PIXELS_PER_INCH)
    for number, (title, values, image) in enumerate(grids):
        left = number * (LEFT + width) + LEFT
        axes = figure.add_axes((left / size[0], 4 / size[1], width / size[0], height / size[1]))
        axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
        rows = (torch.arange(len(values)) + 0.5) * height / len(values)
        axes.set_yticks(rows.tolist(), [f"{value:.2g}" for value in values.tolist()])
        axes.set_xticks([])
        axes.set_title(title)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


@styled
def point_plots(plots: list[tuple[str, Tensor, Tensor]]) -> Figure:
    """Return a figure of points in colours by value: (title, values, points (V, N, dim)); 1-D ones over the value."""
    figure, axes = panels(columns=len(plots), width=4.2, height=3.6)
    for each, (title, values, points) in zip(axes[0], plots, strict=True):
        colours = values[:, None].expand(points.shape[:2]).flatten()
        x, y = points[..., 0].flatten(), points[..., 1].flatten() if points.shape[-1] > 1 else colours
        drawn = each.scatter(x.numpy(), y.numpy(), c=colours.numpy(), s=3, cmap="viridis", linewidths=0)
        figure.colorbar(drawn, ax=each, ticks=values.tolist(), format="{x:.2g}")
        each.set_title(title)
    return figure
