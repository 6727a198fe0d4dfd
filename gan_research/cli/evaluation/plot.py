"""The figure of `gan evaluate --plot`: over rounds, over truncation or psi, or by sampling seed."""

import math
from itertools import cycle
from pathlib import Path

from matplotlib.axes import Axes

from gan_research.cli.evaluation.measurement import PERFECT, Measurement
from gan_research.cli.evaluation.report import varied_in
from gan_research.utils.files import write_atomically
from gan_research.utils.plotting import BOUND, SERIES, panels, png, styled

COLUMNS = 3  # the most panels in a row

LABELS = {"truncation": "truncation of latents", "psi": "psi"}

DIRECTIONS = {"min": "lower is better", "max": "higher is better"}


@styled
def plot(blocks: dict[str, list[Measurement]], path: Path) -> None:
    """Write a PNG with a panel for each column of each block that ranks generators.

    Several values of truncation, or psi, are the horizontal axis, with a line for each round. One more panel shows
    precision and recall of each, if both are measured.
    """
    drawn = [(measurements, name) for measurements in blocks.values() for name in measurements[0].better]
    traded = [ms for ms in blocks.values() if varied_in(ms) and {"precision", "recall"} <= set(ms[0].better)]
    count = len(drawn) + len(traded)
    figure, axes = panels(math.ceil(count / COLUMNS), min(COLUMNS, count))
    for panel, (measurements, name) in zip(axes.flat, drawn, strict=False):
        first = measurements[0]
        if varied := varied_in(measurements):
            over_values(panel, measurements, name, varied[0])
        elif len(measurements) > 1:
            over_rounds(panel, measurements, name)
        else:
            by_seed(panel, first, name)
        if (perfect := first.mean.get(name + PERFECT)) is not None:
            panel.axhline(perfect, color=BOUND, linestyle=":", label="perfect")
            panel.legend()
        panel.set(title=f"{name}, {first.protocol.extractor}", ylabel=DIRECTIONS[first.better[name]])
    for panel, measurements in zip(axes.flat[len(drawn) :], traded, strict=False):
        precision_over_recall(panel, measurements)
    for panel in axes.flat[count:]:
        panel.set_axis_off()
    write_atomically(path, png(figure))


def over_values(axes: Axes, measurements: list[Measurement], name: str, varied: str) -> None:
    """Draw a line for each round over psi or thresholds; their log scale ends with infinity."""
    values = sorted({getattr(m, varied) for m in measurements})
    places = values if varied == "psi" else [math.log2(t) for t in values if math.isfinite(t)]
    places += [places[-1] + 1] * (len(values) - len(places))
    place, rounds = dict(zip(values, places, strict=True)), lines(measurements, varied)
    for colour, (round, line) in zip(cycle(SERIES), rounds.items(), strict=False):
        spreads = [m.std[name] for m in line] if line[0].std else None
        x, y = [place[getattr(m, varied)] for m in line], [m.mean[name] for m in line]
        axes.errorbar(x, y, spreads, fmt="o-", markersize=3, capsize=2, color=colour, label=f"round {round:,}")
    axes.set_xticks(places, map(text_of, values))
    axes.set_xlabel(LABELS[varied])
    if len(rounds) > 1:
        axes.legend()


def precision_over_recall(axes: Axes, measurements: list[Measurement]) -> None:
    """Draw precision over recall, a line of thresholds, or of psi, for each round."""
    (varied,) = varied_in(measurements)
    for colour, line in zip(cycle(SERIES), lines(measurements, varied).values(), strict=False):
        places = [(m.mean["recall"], m.mean["precision"]) for m in line]
        axes.plot(*zip(*places, strict=True), "o-", markersize=3, color=colour)
        for m, place in zip(line, places, strict=True):
            axes.annotate(text_of(getattr(m, varied)), place, (4, 4), textcoords="offset points", fontsize=7)
    axes.margins(0.12)
    axes.set(title=f"precision over recall, by {varied}", xlabel="recall", ylabel="precision")


def lines(measurements: list[Measurement], varied: str) -> dict[int, list[Measurement]]:
    """Return the measurements of each round, from the least value of `varied` on."""
    found: dict[int, list[Measurement]] = {}
    for m in sorted(measurements, key=lambda m: getattr(m, varied)):
        found.setdefault(m.round or 0, []).append(m)
    return dict(sorted(found.items()))


def text_of(value: float) -> str:
    """Return a threshold, or psi, as text."""
    return "\N{INFINITY}" if math.isinf(value) else f"{value:g}"


def over_rounds(axes: Axes, measurements: list[Measurement], name: str) -> None:
    """Draw a line over the rounds, with error bars for several sampling seeds."""
    rounds, means = [m.round or 0 for m in measurements], [m.mean[name] for m in measurements]
    spreads = [m.std[name] for m in measurements] if measurements[0].std else None
    axes.errorbar(rounds, means, spreads, fmt="o-", markersize=3, capsize=2, color=SERIES[0])
    axes.set_xlabel("round" if spreads is None else f"round (± std over {len(measurements[0].each)} sampling seeds)")


def by_seed(axes: Axes, measurement: Measurement, name: str) -> None:
    """Draw a bar for each sampling seed, or one for a fixed set of samples."""
    seeds = [str(seed) for seed in measurement.protocol.sampling_seeds]
    values = [numbers[name] for numbers in measurement.each]
    bars = axes.bar(seeds or [""], values, width=0.6, color=SERIES[0])
    axes.bar_label(bars, [f"{value:.4g}" for value in values], fontsize=8, padding=2)
    axes.margins(y=0.15)
    axes.set(xlim=(-1, len(values)), xlabel="sampling seed" if seeds else "")
