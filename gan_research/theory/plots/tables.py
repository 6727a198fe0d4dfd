"""The figures of games on tables: equilibria of classes and states, and augmentations of what D sees."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gan_research.theory.plots.labels import label_ends, legend_above
from gan_research.utils.plotting import BOUND, DATA, GENERATOR, SERIES, mosaic, styled

LEAST = 1e-6  # the smallest distance that is drawn


class Equilibria(NamedTuple):
    """The data (K, S), each term's equilibrium (K, S), and its distances by weight."""

    data: Tensor
    ends: Mapping[str, Tensor]
    weights: Sequence[float]
    distances: Mapping[str, Sequence[float]]


class Augmented(NamedTuple):
    """The content of `draw_augmentation`.

    singular: the operator's singular values (n, S) at `shares` (n,). leaks, paths: the last p_g and the distances from
    the data in each step, by share and by method. logits: by method, between p and q at `points`.
    """

    shares: Tensor
    singular: Tensor
    data: Tensor
    start: Tensor
    leaks: Mapping[float, tuple[Tensor, Tensor]]
    points: Tensor
    p: Tensor
    q: Tensor
    logits: Mapping[str, Tensor]
    paths: Mapping[str, tuple[Tensor, Tensor]]


@styled
def draw_conditioning(shown: Equilibria) -> Figure:
    """Draw each term's equilibrium with the data, and its distance from them by weight."""
    names = list(shown.ends)
    figure, axes = mosaic([names, ["weights"] * len(names)], heights=[2.6, 2.2], width=2.2)
    for name, color in zip(names, SERIES, strict=False):
        draw_table(axes[name], shown.data, shown.ends[name])
        axes[name].set_title(f"{name}: {shown.distances[name][shown.weights.index(1.0)]:.3f}", color=color)
        axes["weights"].plot(shown.weights, shown.distances[name], "-o", ms=3, color=color, label=name)
    axes[names[0]].set_ylabel("mass: class 1 up, class 2 down")
    handles, labels = axes[names[0]].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    axes["weights"].set(xlabel="weight of the classifier's term in G's loss", ylabel="TV of $p_g$ and the data")
    axes["weights"].set(xlim=(0, shown.weights[-1]), ylim=(-0.01, None))
    label_ends(axes["weights"])
    return figure


def draw_table(axes: Axes, data: Tensor, found: Tensor) -> None:
    """Draw two tables (2, S) as bars: the first class upwards, the second downwards."""
    for row, sign in ((0, 1), (1, -1)):
        states = range(1, data.shape[1] + 1)
        made, real = ("$p_g$", "data") if row == 0 else ("", "")
        axes.bar(states, (sign * found[row]).tolist(), color=GENERATOR, alpha=0.6, label=made)
        axes.bar(states, (sign * data[row]).tolist(), color="none", edgecolor=DATA, label=real)
    axes.axhline(0, color=BOUND, lw=0.5)
    axes.set(xlabel="state", xticks=list(states), ylim=(-0.36, 0.36))


@styled
def draw_augmentation(shown: Augmented) -> Figure:
    """Draw ADA's operator, its leak and its ends; D* under each method, and G's descents."""
    rows = [["singular", "leak", "states"], ["line", "line", "descent"]]
    figure, axes = mosaic(rows, heights=[2.9, 3.0], width=3.8)
    draw_operator(axes["singular"], shown)
    for (share, (_, distances)), color in zip(shown.leaks.items(), SERIES, strict=False):
        axes["leak"].plot(distances.clamp(min=LEAST), color=color, label=f"p = {share:g}")
    axes["leak"].set(title="a free G against D* on turned images")
    draw_ends(axes["states"], shown)
    for (name, logits), color in zip(shown.logits.items(), SERIES, strict=False):
        axes["line"].plot(shown.points, logits, color=color, label=name)
    peak = max(shown.p.max().item(), shown.q.max().item())
    for masses, role, name in ((shown.p, DATA, "data"), (shown.q, GENERATOR, "$p_g$")):
        axes["line"].fill_between(
            shown.points.numpy(), -8, (-8 + 3 * masses / peak).numpy(), color=role, alpha=0.15, lw=0
        )
        axes["line"].text(shown.points[masses.argmax()].item(), -7.8, name, color=role, ha="center", fontsize=8)
    axes["line"].set(title="D* between N(-1, 1) and N(1, 1)", xlabel="x", ylabel="optimal logit", ylim=(-8, 8))
    axes["line"].set_xlim(shown.points[[0, -1]].tolist())
    label_ends(axes["line"])
    for (name, (_, distances)), color in zip(shown.paths.items(), SERIES, strict=False):
        axes["descent"].plot(distances.clamp(min=LEAST), color=color, label=name)
    axes["descent"].set(title="a free G on three states")
    for panel in (axes["leak"], axes["descent"]):
        panel.set(yscale="log", ylim=(LEAST / 20, 3), xlabel="step of G at D*", ylabel="TV of $p_g$ and the data")
        panel.set_xlim(0, len(distances) - 1)
        label_ends(panel)
    return figure


def draw_operator(axes: Axes, shown: Augmented) -> None:
    """Draw the singular values of ADA's operator by its probability."""
    count = shown.singular.shape[1]
    for predicted, name in ((torch.ones_like(shown.shares), "1"), (1 - shown.shares, f"1 - p, {count - 1} times")):
        axes.plot(shown.shares, predicted, color=BOUND, label=name)
    axes.plot(shown.shares, shown.singular, "o", ms=3, color=SERIES[0])
    axes.set_xlim(0, 1)
    title = "ADA's quarter turns with probability p"
    axes.set(title=title, xlabel="p", ylabel="singular value", ylim=(-0.03, 1.05))
    label_ends(axes, axes.get_lines()[:2])


def draw_ends(axes: Axes, shown: Augmented) -> None:
    """Draw the data over quarter turns, the first fakes, and the last ones by probability."""
    states = torch.arange(len(shown.data))
    axes.bar(states.tolist(), shown.data.tolist(), color="none", edgecolor=DATA, label="data")
    axes.plot(states, shown.start, "_", color=BOUND, ms=14, label="first $p_g$")
    for (share, (end, _)), color, marker in zip(shown.leaks.items(), SERIES, "o^sDx", strict=False):
        axes.plot(states, end, marker, ms=5, mfc="none", color=color, label=f"p = {share:g}")
    axes.set(xlabel="quarter turns", ylabel="mass", xticks=states.tolist())
    legend_above(axes, columns=4)
