"""The figure of `gan evaluate --plot`: over the rounds of a run, or by sampling seed."""

import math
from pathlib import Path

from matplotlib.axes import Axes

from gan_research.cli.evaluation.measurement import PERFECT, Measurement
from gan_research.utils.files import write_atomically
from gan_research.utils.plotting import BOUND, SERIES, panels, png, styled

COLUMNS = 3  # the most panels in a row

DIRECTIONS = {"min": "lower is better", "max": "higher is better"}


@styled
def plot(blocks: dict[str, list[Measurement]], path: Path) -> None:
    """Write a PNG with a panel for each column of each block that ranks generators."""
    drawn = [(measurements, name) for measurements in blocks.values() for name in measurements[0].better]
    figure, axes = panels(math.ceil(len(drawn) / COLUMNS), min(COLUMNS, len(drawn)))
    for panel, (measurements, name) in zip(axes.flat, drawn, strict=False):
        first = measurements[0]
        if len(measurements) > 1:
            over_rounds(panel, measurements, name)
        else:
            by_seed(panel, first, name)
        if (perfect := first.mean.get(name + PERFECT)) is not None:
            panel.axhline(perfect, color=BOUND, linestyle=":", label="perfect")
            panel.legend()
        panel.set(title=f"{name}, {first.protocol.extractor}", ylabel=DIRECTIONS[first.better[name]])
    for panel in axes.flat[len(drawn) :]:
        panel.set_axis_off()
    write_atomically(path, png(figure))


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
