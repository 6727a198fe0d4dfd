"""The content of a page as plain values: sections of tables, figures and images. Text is never read as HTML."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from gan_research.report.comparison import Comparison, Pair
from gan_research.report.page import figures
from gan_research.report.page.figures import Curves, Figure, Panel
from gan_research.report.page.parallel import parallel_figure
from gan_research.report.page.text import NONE, count, interval, number, shortened
from gan_research.report.records import AXES, METRICS, Record, format_x

PAIRS = 28  # the number of a metric's pairs up to which all are drawn; of more, those with the best group
FIGURES = 4  # the maximum number of metrics with parallel coordinates and importance

Block = dict[str, Any]
SAMPLES = "samples"
TITLES = {"round": "rounds", "kimg": "kimg", "seconds": "seconds of training"}  # axis -> title of the x axis
CURVES = (
    "Thick lines are means over the runs of a group, bands are 95 % intervals of the mean over training seeds, thin "
    "lines are single runs. A group of one run has no band; very wide bands are cut off."
)
FINAL = "Each marker is a run; the diamond above is the mean with its 95 % interval, the vertical line is the median."
PAIRWISE = (
    "A difference is larger than seed noise if its 95 % interval excludes 0. Intervals aren't corrected for multiple "
    "comparisons: of 20 pairs without any difference, one is expected to appear different."
)
PAIRED = " If both groups have runs with the same seeds, differences are computed seed by seed."
BEST_OF = "The expected best result of N trials of a tuned group: compare groups at the same N, the same budget."
SETTINGS = (
    "Settings that vary between runs. Importance is the share of the metric's variation that a setting explains, "
    "whichever value is good."
)
GAME = "The discriminator's output on real and generated samples, the terms of the loss, and the speed: group means."
DIFFERENCES = "Only settings that differ between groups."
RUNS = "All runs, each with the command that started it."


def contents(comparison: Comparison) -> dict[str, Any]:
    """Return the page without its images."""
    arrays, curves = figures.Arrays(), cache(comparison.curves)
    panels = metric_panels(comparison, curves)

    def drawn(panels: list[Panel]) -> list[Block]:
        return figure_block(figures.curve_figure(arrays, comparison, curves, panel) for panel in panels)

    def each_metric(figure: Any) -> list[Block]:
        return figure_block(figure(comparison, metric) for metric in comparison.metrics)

    paired = PAIRED if any(pair.paired for pair in comparison.pairs) else ""
    sections = [
        ("numbers", "Final numbers", numbers_lead(comparison), numbers(comparison)),
        ("curves", "Training curves", CURVES, drawn(panels)),
        ("final", "Distribution over runs", FINAL, each_metric(figures.distribution_figure)),
        ("pairs", "Pairwise comparison", PAIRWISE + paired, pairwise(comparison)),
        ("best-of", "Best of N trials", BEST_OF, each_metric(figures.best_of_figure)),
        (SAMPLES, "Samples", "", []),
        ("settings", "Hyperparameters", SETTINGS, hyperparameters(comparison)),
        ("game", "Training dynamics", GAME, drawn(game_panels(comparison))),
        ("differences", "Differences in the config", DIFFERENCES, differences(comparison)),
        ("runs", "Runs", RUNS, runs(comparison)),
    ]
    return {
        "title": comparison.title or f"Comparison by {shortened(comparison.by, 80)}",
        "summary": summary(comparison),
        "notes": notes(comparison),
        "axes": [{"key": axis, "name": "rounds" if axis == "round" else axis, "title": TITLES[axis]} for axis in AXES],
        "axis": comparison.axis,
        "logarithmic": any(panel.logarithmic and wide(curves, panel.scalar, comparison.axis) for panel in panels),
        "groups": [{"name": name, **figures.style_of(i)} for i, name in enumerate(comparison.groups)],
        "sections": [dict(zip(("id", "title", "lead", "blocks"), part, strict=True)) for part in sections],
        "arrays": arrays.all,
    }


def with_images(document: dict[str, Any], images: Block | None) -> dict[str, Any]:
    """Return the page with its images and without empty sections."""
    sections = []
    for part in document["sections"]:
        if part["id"] == SAMPLES and images:
            cut = " Some rounds and seeds are left out to keep the page small." if images["cut"] else ""
            part = {**part, "lead": f"From the same latents, at the same round.{cut}", "blocks": [images]}
        if part["blocks"]:
            sections.append(part)
    return {**document, "sections": sections}


def figure_block(found: Iterable[Figure | None], columns: int | None = None) -> list[Block]:
    """Return a block of the figures, by default in columns that fill the last row."""
    drawn = [figure for figure in found if figure is not None]
    if columns is None:
        columns = len(drawn) if len(drawn) < 3 else 2 if len(drawn) == 4 else 3
    return [{"kind": "figures", "figures": drawn, "columns": columns}] if drawn else []


def table(columns: list[str], rows: list[Any], caption: str = "", numeric: tuple[int, ...] = ()) -> list[Block]:
    """Return a table. A cell is a text, or {"text", ...} with group, mark, code, copy, state, words or heading."""
    block = {"kind": "table", "columns": columns, "rows": rows, "caption": caption, "numeric": list(numeric)}
    return [block] if rows else []


def group_cells(comparison: Comparison) -> dict[str, Any]:
    return {group: {"text": group, "group": i} for i, group in enumerate(comparison.groups)}


def summary(comparison: Comparison) -> str:
    seeds = {record.seed for record in comparison.records if record.seed is not None}
    parts = [count(len(comparison.records), "run"), count(len(comparison.groups), "group"), count(len(seeds), "seed")]
    return " · ".join([*parts, ", ".join(comparison.metrics) or "no metric yet"])


def notes(comparison: Comparison) -> list[str]:
    if not comparison.failed:
        return list(comparison.notes)
    names = shortened(", ".join(record.name for record in comparison.failed), 200)
    failed = f"{count(len(comparison.failed), 'run')} failed ({names}): the reasons are at the end of this page"
    return [failed, *comparison.notes]


def numbers_lead(comparison: Comparison) -> str:
    methods = {s.method for of in comparison.summaries.values() for s in of.values() if s.method}
    how = f" ({' or '.join(sorted(methods))})" if methods else ""
    position = format_x(comparison.position, comparison.axis)
    return f"Values at {position}. Intervals are 95 % intervals of the mean over training seeds{how}."


def numbers(comparison: Comparison) -> list[Block]:
    """Return the table of final numbers, and the command that makes the page."""
    rows: list[Any] = []
    for metric in comparison.metrics:
        found, best = comparison.summaries.get(metric, {}), comparison.best(metric)
        if found:
            rows.append([{"text": comparison.heading(metric), "heading": True}])
        for group, cell in group_cells(comparison).items() if found else ():
            numbers: list[Any] = [NONE] * 4
            if s := found.get(group):
                mean = {"text": number(s.mean), **({"mark": "best"} if group == best else {})}
                ends = "none: one run" if len(s.values) == 1 else interval(s.interval)
                numbers = [mean, ends, number(s.median), number(s.std)]
            rows.append([cell, comparison.counted(metric, group), *numbers])
    columns = ["group", "runs", "mean", "95 % interval", "median", "std"]
    command = {"kind": "command", "text": comparison.command, "label": "This page"}
    return [*table(columns, rows, numeric=(2, 3, 4, 5)), command]


def metric_panels(comparison: Comparison, curves: Curves) -> list[Panel]:
    """Return a panel for each metric, possibly logarithmic if lower is better."""
    panels = []
    for metric, better in comparison.metrics.items():
        drawn = curves(METRICS + metric, comparison.axis).values()
        logarithmic = better == "min" and all(y > 0 for curve in drawn for y in curve.mean)
        reference = comparison.references.get(metric)
        panels.append(Panel(METRICS + metric, comparison.heading(metric), True, logarithmic, reference))
    return panels


def wide(curves: Curves, scalar: str, axis: str) -> bool:
    """Return whether the means of a scalar span more than a factor of 20."""
    values = [y for curve in curves(scalar, axis).values() for y in curve.mean]
    return bool(values) and max(values) > 20 * min(values)


def game_panels(comparison: Comparison) -> list[Panel]:
    """Return panels of D(x), D(G(z)), the loss terms and the speed, if logged."""
    logged = {key for record in comparison.records for row in record.rows for key in row}
    panels = [
        Panel("probability/real", "D(x): probability of real for real samples", reference=0.5),
        Panel("probability/fake", "D(G(z)): probability of real for generated samples", reference=0.5),
        *(Panel(key, key) for key in sorted(logged) if key.startswith("loss/")),
        Panel("speed/rounds_per_second", "throughput: rounds per second"),
    ]
    return [panel for panel in panels if panel.scalar in logged]


def pairwise(comparison: Comparison) -> list[Block]:
    drawn: list[Figure] = []
    rows: list[Any] = []
    cells, left_out = group_cells(comparison), len(comparison.pairs)
    for metric, better in comparison.metrics.items():
        if pairs := comparison.main_pairs(metric, PAIRS):
            drawn += figures.pair_figures(comparison, metric, pairs)
            rows.append([{"text": comparison.heading(metric), "heading": True}])
            for pair in pairs:
                probability = NONE if pair.interval is None else "{:.2f} to {:.2f}".format(*pair.interval)
                difference = [number(pair.difference), interval(pair.difference_interval)]
                end = {"text": conclusion(pair, better), "words": True}
                rows.append([cells[pair.a], cells[pair.b], f"{pair.probability:.2f}", probability, *difference, end])
            left_out -= len(pairs)
    ends = "95 % interval"
    columns = ["first", "second", "P(first better)", ends, "difference of means", ends, "conclusion"]
    caption = f"{count(left_out, 'pair')} without the best group aren't shown: --json has all." if left_out else ""
    return [*figure_block(drawn, columns=2), *table(columns, rows, caption, numeric=(2, 3, 4, 5))]


def conclusion(pair: Pair, better: str) -> str:
    """Return the conclusion that the interval of the difference allows."""
    if pair.difference_interval is None:
        return "one run: no interval can be given"
    low, high = pair.difference_interval
    if low <= 0 <= high:
        return "within seed noise"
    winner = pair.a if (pair.difference < 0) == (better == "min") else pair.b
    return f"{winner} is better, beyond seed noise"


def hyperparameters(comparison: Comparison) -> list[Block]:
    """Return parallel coordinates and importance, if more than the grouping itself varies."""
    if set(comparison.varied) <= {key.strip() for key in comparison.by.split(",")}:
        return []
    metrics = list(comparison.metrics)[:FIGURES]
    lines = (parallel_figure(comparison, metric, comparison.varied) for metric in metrics)
    bars = (figures.importance_figure(comparison, metric) for metric in metrics)
    return [*figure_block(lines, columns=1), *figure_block(bars)]


def differences(comparison: Comparison) -> list[Block]:
    found, groups = comparison.differences.items(), comparison.groups
    rows = [[{"text": key, "code": True}, *(values.get(group, NONE) for group in groups)] for key, values in found]
    return table(["setting", *groups], rows)


def runs(comparison: Comparison) -> list[Block]:
    """Return a table of all runs, failed ones first."""
    cells = group_cells(comparison)
    listed: list[tuple[Record, Any]] = [(r, cells[group]) for group, of in comparison.groups.items() for r in of]
    known = {record.id for record, _ in listed}
    listed += [(record, NONE) for record in comparison.failed if record.id not in known]
    listed.sort(key=lambda item: item[0].state != "failed")
    rows = []
    for record, group in listed:
        trial = "" if record.trial is None else f"trial {record.trial} · "
        name = {"text": record.name, "below": f"{trial}{record.source}"}
        state = {"text": record.state, "state": record.state, "reason": record.reason or ", ".join(record.warnings)}
        seed = NONE if record.seed is None else str(record.seed)
        rows.append([name, group, seed, state, {"text": record.command, "copy": True}])
    return table(["run", "group", "seed", "state", "command"], rows)
