"""The figures and films of the studies."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from gan_research.theory.convergence import Path
from gan_research.theory.dirac_table import Row
from gan_research.theory.optimum import Maximum
from gan_research.theory.saturation import Pull, TrainedDiscriminator
from gan_research.utils.plotting import (
    BOUND,
    DATA,
    DISCRIMINATOR,
    GENERATOR,
    OPTIMUM,
    SERIES,
    mosaic,
    over_rounds,
    panels,
    styled,
)


@styled
def draw_optimum(
    maxima: Mapping[str, Maximum], points: Tensor, real: Tensor, fake: Tensor, found: Tensor, predicted: Tensor | None
) -> Figure:
    """Draw proposition 1's curves, two densities (S,) at `points`, and D's optimal logits there."""
    figure, axes = panels(1, 3, width=3.6, height=2.9)
    curves, densities, logits = axes[0]
    for (name, maximum), color in zip(maxima.items(), SERIES, strict=False):
        curves.plot(maximum.ys, maximum.values, color=color, label=name)
        y = torch.tensor(maximum.found, dtype=torch.float64)
        curves.plot(y, maximum.values[(maximum.ys - y).abs().argmin()], "o", color=color, ms=4)
    curves.set(title="a ln y + b ln(1 - y), largest at a / (a + b)", xlabel="y", ylim=(-4, 0))
    curves.legend(title="a, b", loc="lower center")
    densities.plot(points, real, ":", color=DATA, label="$p_{data}$")
    densities.plot(points, fake, color=GENERATOR, label="$p_g$ = N(0, 1)")
    densities.set(title="two densities", xlabel="x", ylim=(0, 1.6 * real.max().item()))
    densities.legend(loc="best")
    if predicted is not None:
        logits.plot(points, predicted, color=OPTIMUM, lw=3, alpha=0.6, label="predicted")
    logits.plot(points, found, "--", color=DISCRIMINATOR, label="found by minimising D's loss")
    logits.set(title="D's best logit", xlabel="x")
    logits.legend(loc="best")
    return figure


@styled
def draw_divergences(means: Tensor, curves: Mapping[str, Tensor]) -> Figure:
    """Draw the losses' divergences of N(0, 1) and N(mean, 1); equal ones share a curve."""
    distinct: dict[str, Tensor] = {}
    for name, curve in curves.items():
        same = next((label for label, other in distinct.items() if torch.allclose(curve, other, rtol=1e-6)), None)
        label = f"{same}, {name}" if same else name
        distinct = {k: v for k, v in distinct.items() if k != same} | {label: curve}
    figure, axes = panels(1, 1, width=8.5, height=4.2)
    for i, (label, curve) in enumerate(distinct.items()):
        style = "-" if i < len(SERIES) else "--"
        axes[0, 0].plot(means, curve.clamp(min=1e-6), style, color=SERIES[i % len(SERIES)], label=label)
    axes[0, 0].set(xlabel="distance of the means", ylabel="divergence", yscale="log", ylim=(1e-3, 30), xlim=(0, 6))
    figure.legend(loc="outside right upper")
    return figure


@styled
def draw_saturation(
    pulls: Mapping[str, Pull], measured: Sequence[TrainedDiscriminator], highlighted: Sequence[str]
) -> Figure:
    """Draw the generator's gradient against D(G(z)), measured, and in the logit for each loss."""
    columns = 5
    grid = [[f"loss{row * columns + i}" for i in range(columns)] for row in range(math.ceil(len(pulls) / columns))]
    head = ["probability", "probability", "measured", "measured", "measured"]
    figure, axes = mosaic([head, *grid], heights=[3.2, *[1.6] * len(grid)], width=2.3)
    colors = dict(zip(highlighted, SERIES, strict=False))
    for name, color in colors.items():
        if (probabilities := pulls[name].probabilities) is not None:
            axes["probability"].plot(probabilities, pulls[name].gradients.abs(), color=color, label=name)
    axes["probability"].set(xlabel="D(G(z))", title="|gradient of G's loss in the logit|", ylim=(0, 1.05))
    axes["probability"].legend(loc="center right")
    steps = [row.steps for row in measured]
    for name in measured[0].norms:
        chosen = name in colors
        color, label = (colors[name], name) if chosen else (BOUND, None)
        norms = [max(row.norms[name], 1e-12) for row in measured]
        axes["measured"].plot(steps, norms, color=color, label=label, lw=1.5 if chosen else 0.5, zorder=2 + chosen)
    rejected = ", ".join(f"{row.rejection:.1g}" for row in measured)
    axes["measured"].set_xlabel(f"updates of D against a fresh G (mean D(G(z)): {rejected})")
    axes["measured"].set(yscale="log", xscale="symlog", xlim=(0, steps[-1]), ylim=(1e-6, None))
    axes["measured"].set_title("gradient norm in G's parameters, D trained on cross-entropy (grey: other losses)")
    axes["measured"].legend(loc="lower left")
    cells = [axes[name] for row in grid for name in row]
    for cell, (name, pull) in zip(cells, pulls.items(), strict=False):
        cell.plot(pull.logits, pull.gradients, color=DISCRIMINATOR)
        cell.axhline(0, color=BOUND, lw=0.5)
        cell.set(title=name, ylim=(-2.1, 0.6), xticks=[-10, 0, 10])
    for cell in cells[len(pulls) :]:
        cell.set_axis_off()
    for cell in axes[grid[-1][0]], *([axes[grid[-2][-1]]] if len(grid) > 1 else []):
        cell.set_xlabel("logit")
    return figure


@styled
def draw_convergence(p: Tensor, convexity: Tensor, paths: Mapping[str, Path], training: dict[str, Any]) -> Figure:
    """Draw proposition 2: convexity, the descents and their ends; and D's regret in training."""
    figure, axes = mosaic([["convex", "descent", "states"], ["regret"] * 3], heights=[2.8, 2.4], width=3.6)
    along = torch.linspace(0, 1, convexity.shape[1])
    for values in convexity[:8]:
        axes["convex"].plot(along, values, lw=1)
    axes["convex"].set(title="V(D*, $p_g$) along random segments", xlabel="from one $p_g$ to another")
    colors = dict(zip(paths, SERIES, strict=False))
    for name, path in paths.items():
        excess = (path.values - path.at_equality).clamp(min=1e-16)
        axes["descent"].plot(excess, color=colors[name], label=name)
        axes["states"].plot(path.q[-1], "o", color=colors[name], ms=4, label=f"{name}: last $p_g$")
    axes["descent"].set(title="V(D*, $p_g$) - its least value", xlabel="step", yscale="log", ylim=(1e-12, None))
    axes["descent"].legend(loc="best")
    axes["states"].bar(range(len(p)), p.tolist(), color="none", edgecolor=DATA, label="$p_{data}$")
    axes["states"].set(title="the states", xlabel="state", xticks=[], ylim=(0, 1.5 * p.max().item()))
    axes["states"].legend(loc="best")
    if "regret" in training:
        regret = with_gaps(training["regret"], least=1e-8)
        axes["regret"].plot(training["round"], regret, color=DISCRIMINATOR, label="V(D*, G) - V(D, G)")
    axes["regret"].plot(training["round"], training["jsd"], color=GENERATOR, label="JSD($p_{data}$, $p_g$)")
    over_rounds(axes["regret"], training["round"][-1], yscale="log")
    axes["regret"].set_title("networks instead of free functions: what D misses of its best, while both learn")
    axes["regret"].legend(loc="best")
    return figure


def with_gaps(values: Sequence[float | None], least: float) -> Tensor:
    """Clamp a series for a logarithmic axis to `least`; None becomes a gap."""
    return torch.tensor([math.nan if value is None else max(value, least) for value in values])


def film_convergence(p: Tensor, path: Path, frames: int = 60) -> Iterator[Figure]:
    """Draw the descent of p_g, on the states and as a value."""
    last = len(path.values) - 1

    @styled
    def frame(i: int) -> Figure:
        figure, axes = mosaic([["states", "value"]], heights=[3.0], width=4.0, film=True)
        axes["states"].bar(range(len(p)), path.q[i].tolist(), color=GENERATOR, label="$p_g$")
        axes["states"].bar(range(len(p)), p.tolist(), color="none", edgecolor=DATA, label="$p_{data}$")
        axes["states"].set(title=f"step {i}", xticks=[], ylim=(0, 1.1 * torch.maximum(p, path.q[0]).max().item()))
        axes["states"].legend(loc="upper right")
        axes["value"].plot(path.values[: i + 1], color=OPTIMUM)
        axes["value"].axhline(path.at_equality, color=BOUND, lw=0.8)
        margin = 0.05 * (path.values[0].item() - path.at_equality)
        axes["value"].set(title="V(D*, $p_g$)", xlabel="step", xlim=(0, len(path.values)))
        axes["value"].set_ylim(path.at_equality - margin, path.values[0].item() + margin)
        return figure

    return map(frame, sorted({round(last * (k / (frames - 1)) ** 2) for k in range(frames)}))


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
def draw_dirac(title: str, arrows: Arrows, paths: Mapping[str, Tensor], time: float) -> Figure:
    """Draw the field with each path (T, starts, 2), and distances from the equilibrium."""
    figure, axes = panels(1, len(paths) + 1, width=3.1, height=3.2)
    radius = axes[0, -1]
    for axis, (name, path), color in zip(axes[0], paths.items(), SERIES, strict=False):
        draw_path(axis, arrows, path)
        axis.set_title(name)
        radii = path[:, 0].norm(dim=1).nan_to_num(nan=1e6).clamp(1e-12, 1e6)
        radius.plot(torch.linspace(0, time, len(radii)), radii, color=color, label=name)
    radius.set(title="distance from the equilibrium", xlabel="time (steps x rate)", yscale="log")
    radius.legend(loc="best")
    figure.suptitle(title)
    return figure


def draw_path(axes: Axes, arrows: Arrows, path: Tensor) -> None:
    """Draw a field, and a path (T, starts, 2) from circle to dot."""
    u, length = arrows.directions, arrows.lengths.log1p()
    axes.quiver(arrows.theta, arrows.psi, u[..., 0], u[..., 1], length, cmap="Blues", clim=(-0.5, 1), width=0.006)
    for start, color in zip(range(path.shape[1]), SERIES[1:], strict=False):
        axes.plot(*path[:, start].T, color=color, lw=1)
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
        for name, path in paths.items():
            draw_path(axes[name], arrows, path[: i + 1])
            axes[name].set_title(f"{name}, round {i:,}")
        figure.suptitle(title)
        return figure

    return map(frame, sorted({round(last * k / (frames - 1)) for k in range(frames)}))


VERDICTS = {
    "converges": ("#009E73", "c"),
    "converges sublinearly": ("#56B4E9", "s"),
    "orbits": ("#F0E442", "o"),
    "does not settle": ("#E69F00", "n"),
    "diverges": ("#D55E00", "d"),
    "refused": ("#DDDDDD", ""),
}  # the color and the letter of each verdict on a Dirac-GAN


@styled
def draw_dirac_table(rows: Sequence[Row]) -> Figure:
    """Draw the verdicts on losses (rows) with regularizers (columns): flow and both kinds of steps."""
    losses, regularizers = (list(dict.fromkeys(getattr(row, kind) for row in rows)) for kind in ("loss", "regularizer"))
    kinds, colors = list(VERDICTS), ListedColormap([color for color, _ in VERDICTS.values()])
    figure, axes = panels(1, 3, width=4.4, height=0.8 + 0.24 * len(losses), sharey=True)
    for axis, way in zip(axes[0], ("flow", "simultaneous", "alternating"), strict=True):
        table = torch.zeros(len(losses), len(regularizers))
        for row in rows:
            at = losses.index(row.loss), regularizers.index(row.regularizer)
            table[at] = kinds.index(getattr(row, way))
            axis.text(*at[::-1], VERDICTS[getattr(row, way)][1], ha="center", va="center", fontsize=7)
        axis.imshow(table, cmap=colors, vmin=0, vmax=len(kinds), aspect="auto")
        axis.set_xticks(range(len(regularizers)), regularizers, rotation=90)
        axis.set_yticks(range(len(losses)), losses)
        axis.set_title(way)
    patches = [Patch(color=color, label=f"{letter}  {kind}".strip()) for kind, (color, letter) in VERDICTS.items()]
    figure.legend(handles=patches, ncols=len(patches), loc="outside lower center")
    return figure


@styled
def draw_inner_steps(runs: Mapping[str, Mapping[int, dict[str, Any]]]) -> Figure:
    """Draw regret and JSD over the rounds, for each budget and each k."""
    figure, axes = panels(2, len(runs), width=4.4, height=2.6)
    for column, (budget, by_k) in enumerate(runs.items()):
        for (k, run), color in zip(by_k.items(), SERIES, strict=False):
            share = torch.tensor(run["round"]) / run["round"][-1]
            for row, name in enumerate(("regret", "jsd")):
                values = with_gaps(run.get(name, [None] * len(share)), least=1e-6)
                axes[row, column].plot(share, values, color=color, label=f"k = {k} ({run['round'][-1]:,} rounds)")
        axes[0, column].set(title=budget, yscale="log")
        axes[1, column].set(xlabel="share of the run", yscale="log")
        axes[0, column].legend(loc="best")
    axes[0, 0].set_ylabel("V(D*, G) - V(D, G)")
    axes[1, 0].set_ylabel("JSD($p_{data}$, $p_g$)")
    return figure
