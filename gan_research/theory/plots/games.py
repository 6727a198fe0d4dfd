"""The figures of proposition 2, and of numbers of discriminator steps."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from gan_research.theory.convergence import Path
from gan_research.theory.plots.labels import label_ends, legend_above, with_gaps
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

DESCENTS = ((OPTIMUM, "o", 9), (GENERATOR, ".", 4))  # the color, marker and size of each descent


@styled
def draw_convergence(p: Tensor, convexity: Tensor, paths: Mapping[str, Path], training: dict[str, Any]) -> Figure:
    """Draw proposition 2: convexity, the descents and their ends; and D's regret in training."""
    figure, axes = mosaic([["convex", "descent", "states"], ["regret"] * 3], heights=[2.9, 2.5], width=3.6)
    along = torch.linspace(0, 1, convexity.shape[1])
    for values in convexity[:8]:
        axes["convex"].plot(along, values, lw=1, color=OPTIMUM)
    axes["convex"].set(title="V(D*, $p_g$) is convex", xlabel="8 random segments, from one $p_g$ to another")
    axes["convex"].set_ylabel("V(D*, $p_g$)")
    states = axes["states"]
    states.bar(range(len(p)), p.tolist(), color="none", edgecolor=DATA, label="$p_{data}$")
    first = next(iter(paths.values())).q[0]
    states.plot(first, "_", color=BOUND, ms=9, label="first $p_g$")
    for (name, path), (color, marker, size) in zip(paths.items(), DESCENTS, strict=False):
        excess = (path.values - path.at_equality).clamp(min=1e-16)
        axes["descent"].plot(excess, color=color, label=name.replace("p_g", "$p_g$"))
        fill, label = ("none", "last $p_g$, after each descent") if marker == "o" else (color, None)
        states.plot(path.q[-1], marker, color=color, mfc=fill, ms=size, label=label)
    axes["descent"].set(xlabel="step", ylabel="V(D*, $p_g$) - its minimum", yscale="log", ylim=(1e-12, None))
    legend_above(axes["descent"], columns=1)
    states.set(xlabel="state", ylabel="mass", xticks=[])
    legend_above(states, columns=2)
    if "regret" in training:
        regret = with_gaps(training["regret"], least=1e-8)
        axes["regret"].plot(training["round"], regret, color=DISCRIMINATOR, label="V(D*, G) - V(D, G)")
    axes["regret"].plot(training["round"], training["jsd"], color=GENERATOR, label="JSD($p_{data}$, $p_g$)")
    over_rounds(axes["regret"], training["round"][-1], yscale="log", ylabel="nats")
    axes["regret"].set_title("networks instead of free functions: D's regret while both learn", loc="left")
    label_ends(axes["regret"])
    return figure


def film_convergence(p: Tensor, path: Path, frames: int = 60) -> Iterator[Figure]:
    """Draw the descent of p_g, on the states and as a value."""
    last = len(path.values) - 1

    @styled
    def frame(i: int) -> Figure:
        figure, axes = mosaic([["states", "value"]], heights=[3.0], width=4.0, film=True)
        axes["states"].bar(range(len(p)), path.q[i].tolist(), color=GENERATOR, label="$p_g$")
        axes["states"].bar(range(len(p)), p.tolist(), color="none", edgecolor=DATA, label="$p_{data}$")
        axes["states"].set(xlabel=f"states (step {i})", xticks=[], ylim=(0, 1.1 * torch.maximum(p, path.q[0]).max()))
        legend_above(axes["states"])
        axes["value"].plot(path.values[: i + 1], color=OPTIMUM)
        axes["value"].axhline(path.at_equality, color=BOUND, lw=0.8)
        margin = 0.05 * (path.values[0].item() - path.at_equality)
        axes["value"].set(title="V(D*, $p_g$)", xlabel="step", xlim=(0, len(path.values)))
        axes["value"].set_ylim(path.at_equality - margin, path.values[0].item() + margin)
        return figure

    return map(frame, sorted({round(last * (k / (frames - 1)) ** 2) for k in range(frames)}))


@styled
def draw_inner_steps(runs: Mapping[str, Mapping[int, Sequence[dict[str, Any]]]]) -> Figure:
    """Draw regret and JSD for each budget and each k: the median of the seeds, and their range as a band."""
    figure, axes = panels(2, len(runs), width=5, height=2.6, sharex=True, sharey="row")
    for column, (budget, by_k) in enumerate(runs.items()):
        for (k, seeds), color in zip(by_k.items(), SERIES, strict=False):
            rounds = torch.tensor(seeds[0]["round"])
            for axis, name in zip(axes[:, column], ("regret", "jsd"), strict=True):
                series = torch.stack([with_gaps(run.get(name, [None] * len(rounds)), least=1e-6) for run in seeds])
                label = f"k = {k}, {rounds[-1]:,} rounds"
                axis.plot(rounds / rounds[-1], series.median(0).values, color=color, label=label)
                axis.fill_between(rounds / rounds[-1], *series.aminmax(dim=0), color=color, alpha=0.15, lw=0)
        axes[0, column].set(title=budget, yscale="log", xlim=(0, 1))
        axes[1, column].set(xlabel="share of the rounds", yscale="log")
    axes[0, 0].set_ylabel("V(D*, G) - V(D, G)")
    axes[1, 0].set_ylabel("JSD($p_{data}$, $p_g$)")
    for axis in axes.flat:
        label_ends(axis)
    figure.suptitle(f"median and range of {len(next(iter(next(iter(runs.values())).values())))} seeds")
    return figure
