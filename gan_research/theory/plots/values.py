"""The figures of the optimal discriminator, of divergences, and of the generator's gradient."""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from gan_research.theory.optimum import Maximum
from gan_research.theory.plots.labels import distinct, label_ends, legend_above, plain_log_ticks
from gan_research.theory.plots.saddle import SaddleView, Surface, draw_saddle, draw_saddle_from_above, draw_surface
from gan_research.theory.saturation import Pull, TrainedDiscriminator
from gan_research.utils.plotting import (
    BOUND,
    DATA,
    DISCRIMINATOR,
    GENERATOR,
    OPTIMUM,
    SERIES,
    mosaic,
    panels,
    styled,
)

LINES = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))  # the lines of curves of one color


class Densities(NamedTuple):
    """A pair of densities (S,) at `points`, and D's optimal logits: found numerically, and predicted if unique."""

    points: Tensor
    real: Tensor
    fake: Tensor
    found: Tensor
    predicted: Tensor | None


@styled
def draw_optimum(
    maxima: Mapping[tuple[float, float], Maximum], shown: Densities, surface: Surface, saddle: SaddleView | None
) -> Figure:
    """Draw proposition 1: curves of (a, b), two densities with their D*, the value as a surface, and its saddle."""
    rows = [["curves", "densities", "logits"], ["curves", "densities", "error"], ["surface", "saddle", "above"]]
    solid = ("surface", "saddle") if saddle else ("surface",)
    if saddle is None:
        rows[2] = ["surface", ".", "."]
    figure, axes = mosaic(rows, heights=[2.0, 1.0, 3.6], width=3.7, solid=solid)
    for ((a, b), maximum), color in zip(maxima.items(), SERIES, strict=False):
        axes["curves"].plot(maximum.ys, maximum.values, color=color)
        top = maximum.values.max().item()
        axes["curves"].plot(maximum.found, top, "o", color=color, ms=4)
        below = {"xytext": (0, -6), "textcoords": "offset points", "ha": "center", "va": "top", "fontsize": 7.5}
        axes["curves"].annotate(f"{a:g}, {b:g}", (maximum.found, top), color=color, **below)
    axes["curves"].set(title="a ln D + b ln(1 - D) for a, b; largest at a / (a + b)", xlabel="D", ylim=(-4, 0))
    points, real, fake, found, predicted = shown
    axes["densities"].plot(points, real, ":", color=DATA, label="$p_{data}$")
    axes["densities"].plot(points, fake, color=GENERATOR, label="$p_g$ = N(0, 1)")
    axes["densities"].set(xlabel="x", ylabel="density", ylim=(0, None))
    legend_above(axes["densities"])
    axes["logits"].set_ylabel("logit of D*")
    if predicted is not None:
        axes["logits"].plot(points, predicted, color=OPTIMUM, lw=3, alpha=0.6, label="predicted")
        axes["error"].plot(points, (found - predicted).abs(), ".", color=DISCRIMINATOR, ms=2)
        axes["error"].set(yscale="log", ylabel="residual", xlabel="x")
        axes["logits"].tick_params(labelbottom=False)
    else:
        axes.pop("error").remove()
        axes["logits"].set_xlabel("x")
    axes["logits"].plot(points, found, "--", color=DISCRIMINATOR, label="found by minimizing D's loss")
    legend_above(axes["logits"])
    draw_surface(axes["surface"], surface)
    if saddle:
        draw_saddle(axes["saddle"], saddle)
        draw_saddle_from_above(axes["above"], saddle)
        legend_above(axes["above"], columns=2)
    return figure


GROWTHS = {
    (True, True): ("smooth, bounded", SERIES[0]),
    (True, False): ("smooth, grows without bound", SERIES[1]),
    (False, True): ("kink at p = q, bounded", SERIES[2]),
    (False, False): ("kink at p = q, grows without bound", SERIES[3]),
}
"""The shapes of divergences, by (quadratic where p is near q, bounded far away), with their colors."""


def growth(means: Tensor, curve: Tensor) -> tuple[bool, bool]:
    """Return whether a divergence (n,) is quadratic at its start, and flat at its end."""
    start, end = ((curve[[i, j]].log().diff() / means[[i, j]].log().diff()).item() for i, j in ((0, 1), (-2, -1)))
    return start > 1.5, end < 0.5


@styled
def draw_divergences(means: Tensor, curves: Mapping[str, Tensor], others: Sequence[str]) -> Figure:
    """Draw the losses' divergences of N(0, 1) and N(mean, 1), colored by shape; equal ones share a curve.

    others: the losses that have none in closed form.
    """
    figure, axes = panels(1, 1, width=8, height=4.8)
    axis, lines = axes[0, 0], {shape: itertools.cycle(LINES) for shape in GROWTHS}
    axis.set(xlabel="distance of the means", ylabel="divergence", yscale="log", ylim=(2e-3, 30), xlim=(0, means[-1]))
    for names, curve in distinct(curves).items():
        shape = growth(means, curve)
        style = {"ls": next(lines[shape]), "color": GROWTHS[shape][1], "label": joined(names)}
        axis.plot(means, curve.clamp(min=1e-6), **style)
    plain_log_ticks(axis)
    label_ends(axis)
    figure.legend(
        handles=[Line2D([], [], color=color, label=name) for name, color in GROWTHS.values()],
        loc="outside lower center",
        ncols=len(GROWTHS),
        title_fontsize=8,
        title=f"without a closed form: {', '.join(others)}" if others else None,
    )
    return figure


SHAPES = {
    "vanishes where D rejects": SERIES[0],
    "vanishes where D accepts": SERIES[1],
    "constant": SERIES[2],
    "grows where D rejects": SERIES[3],
}
"""The shapes of the generator's gradient in the logit of a fake, with their colors."""


def shape_of(pull: Pull) -> str:
    """Return the shape of a gradient, by its size at three logits."""
    low, half, high = pull.gradients[[0, len(pull.gradients) // 4, -1]].abs().tolist()
    if low > 1.5 * half:
        return "grows where D rejects"
    if low < 0.01:
        return "vanishes where D rejects"
    return "vanishes where D accepts" if high < 0.01 else "constant"


@styled
def draw_saturation(pulls: Mapping[str, Pull], measured: Sequence[TrainedDiscriminator]) -> Figure:
    """Draw the generator's gradient: against D(G(z)), measured, and in the logit by shape."""
    head = ["probability", "probability", "measured", "measured"]
    figure, axes = mosaic([head, list(SHAPES)], heights=[3.6, 3.0], width=3.6)
    shapes = {name: shape_of(pull) for name, pull in pulls.items()}
    for name in ("minimax", "non_saturating"):
        probabilities, color = pulls[name].probabilities, SHAPES[shapes[name]]
        axes["probability"].plot(probabilities, pulls[name].gradients.abs(), color=color, label=name)
    axes["probability"].set(xlabel="D(G(z))", ylabel="|gradient of G's loss in the logit|", ylim=(0, 1.05), xlim=(0, 1))
    label_ends(axes["probability"])
    steps, axis = [row.steps for row in measured], axes["measured"]
    for shape, color in SHAPES.items():
        alike = [name for name in pulls if shapes[name] == shape]
        draw_shape(axes[shape], shape, {name: pulls[name] for name in alike})
        norms = {name: torch.tensor([max(row.norms[name], 1e-12) for row in measured]) for name in alike}
        for names, values in distinct(norms).items():
            axis.plot(steps, values, color=color, lw=1, label=joined(names))
    axes[next(iter(SHAPES))].set_ylabel("gradient of G's loss")
    axis.set(yscale="log", xscale="symlog", xlim=(0, steps[-1]), ylim=(1e-6, None))
    axis.set_xticks(steps, [f"{row.steps}\n({row.rejection:.1g})" for row in measured])
    axis.set(xlabel="updates of D against a fresh G (mean of D(G(z)))", ylabel="gradient norm in G's parameters")
    label_ends(axis)
    return figure


def draw_shape(axes: Axes, shape: str, pulls: Mapping[str, Pull]) -> None:
    """Draw the gradients of one shape in the logit, named below."""
    axes.set_title(shape, color=SHAPES[shape])
    axes.axhline(0, color=BOUND, lw=0.5)
    for (names, curve), line in zip(
        distinct({n: p.gradients for n, p in pulls.items()}).items(), LINES * 9, strict=False
    ):
        axes.plot(pulls[names[0]].logits, curve, ls=line, color=SHAPES[shape], label=joined(names))
    axes.set(ylim=(-20, 15) if shape.startswith("grows") else (-2.3, 0.6), xlim=(-15, 15), xlabel="logit of a fake")
    if pulls:
        axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.25))


def joined(names: Sequence[str]) -> str:
    """Return names that share a curve, two in a line."""
    return ",\n".join(", ".join(pair) for pair in (names[i : i + 2] for i in range(0, len(names), 2)))
