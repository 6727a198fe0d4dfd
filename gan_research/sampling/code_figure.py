"""Figures of the codes in a prior: samples in which one code takes its values."""

from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.priors import CodedPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.images import grid, to_uint8
from gan_research.utils.plotting import PIXELS_PER_INCH, panels, png, styled

COLUMNS, POINTS = 10, 500  # latents in a figure of images, and of points
LEFT, TOP, BOTTOM = 42, 26, 20  # pixels for the labels of rows, for the title, and for labels of columns of a grid


def codes_png(sampler: Sampler, seed: int = 0, columns: int | None = None, label: int | None = None) -> bytes:
    """Return a PNG of samples in which one code takes its values; UserError if the prior has no codes.

    A grid or plot for each code: a row, or a colour, for each of its values, and a column, or a point, for each latent.
    Otherwise, a column's latents, class and layers' noise are the same in all grids.

    columns: number of latents. label: the class of all; by default the classes in turn.
    """
    prior = sampler.prior
    if not isinstance(prior, CodedPrior):
        raise UserError("this generator has no codes: train it with prior=coded head=infogan")
    sampler.require_plain("a figure of codes")
    n = columns or (POINTS if sampler.generates_points else COLUMNS)
    found = list(traversals(sampler, prior, sampler.latents(n, seed), sampler.labels(n, label), seed))
    if sampler.generates_points:
        return png(point_plots(found))
    images = (grid(to_uint8(samples.flatten(0, 1), sampler.value_range), n) for _, _, samples in found)
    labels = ([f"{value:.2g}" for value in values.tolist()] for _, values, _ in found)
    return png(image_grids([*zip((title for title, _, _ in found), labels, images, strict=True)]))


def traversals(
    sampler: Sampler, prior: CodedPrior, latents: Tensor, labels: Tensor | None, seed: int
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield (title, values (V,), samples (V, N, ...)) of each code; latents: those of the first N samples."""
    codes = prior.codes
    for number in range(codes.categorical + codes.continuous):
        kind = "categorical" if number < codes.categorical else "continuous"
        values, varied = codes.vary(latents, number, codes.categories)
        repeated = None if labels is None else labels.repeat(len(values))
        noise_of = NoiseOf(seed, [*range(len(latents))] * len(values))
        samples = sampler.generate(varied.flatten(0, 1), repeated, noise_of=noise_of)
        yield f"code {number + 1}, {kind}", values, samples.unflatten(0, varied.shape[:2]).cpu()


@styled
def image_grids(
    grids: Sequence[tuple[str, Sequence[str], Tensor]], columns: Sequence[str] = (), left: int = LEFT
) -> Figure:
    """Return a figure of grids in a row, pixel for pixel: (title, labels of its rows, image (3, height, width)).

    columns: labels below each grid. left: pixels for the labels of rows.
    """
    height, width = grids[0][2].shape[1:]
    below = BOTTOM if columns else 4
    size = len(grids) * (left + width) + 4, TOP + height + below
    figure = Figure(figsize=(size[0] / PIXELS_PER_INCH, size[1] / PIXELS_PER_INCH), dpi=PIXELS_PER_INCH)
    for number, (title, labels, image) in enumerate(grids):
        place = number * (left + width) + left
        axes = figure.add_axes((place / size[0], below / size[1], width / size[0], height / size[1]))
        axes.imshow(image.permute(1, 2, 0).numpy(), interpolation="nearest", aspect="auto")
        axes.set_yticks([(row + 0.5) * height / len(labels) for row in range(len(labels))], labels)
        axes.set_xticks([(column + 0.5) * width / len(columns) for column in range(len(columns))], columns)
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
