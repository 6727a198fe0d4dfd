"""The content of a page as plain values: sections of tables, figures and images. Text is never read as HTML."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from gan_research.report.comparison import Comparison, Pair
from gan_research.report.page import figures
from gan_research.report.page.figures import Curves, Figure, Panel
from gan_research.report.page.parallel import parallel_figure
from gan_research.report.page.setup import setup
from gan_research.report.page.text import NONE, count, shortened, spread
from gan_research.report.records import AXES, METRICS, Record, format_x
from gan_research.report.rounding import rounded
from gan_research.report.settings import varied_settings
from gan_research.report.table import MATRIX

FIGURES = 4  # the maximum number of metrics with parallel coordinates and importance

Block = dict[str, Any]


class Section(NamedTuple):
    """A section of the page; one without blocks isn't shown."""

    id: str
    title: str
    lead: str
    blocks: list[Block]


SAMPLES = "samples"
UNSURE = (0.5, "1/2: D can't tell")
TITLES = {"round": "rounds", "kimg": "kimg", "seconds": "seconds of training"}  # axis -> title of the x axis
CURVES = (
    "Thick lines are means over the runs of a group, bands are 95 % intervals of the mean over training seeds, thin "
    "lines are single runs. A group of few runs has no band; very wide bands are cut off. Drag to zoom, double-click "
    "to reset."
)
FINAL = "Each marker is a run; the diamond above is the mean with its 95 % interval, the vertical line is the median."
WARNED = " A cross is a run that exploded or collapsed, with its value."
SETUP = "Held fixed over all runs; the settings that differ are at the end of the page."
PAIRWISE = (
    "A difference is beyond seed noise if Holm's p, that of a t-test corrected for the number of pairs, is below 0.05. "
    "Intervals are 95 % intervals and aren't corrected: of 20 pairs without a difference, one is expected to exclude 0."
)
MATRICES = " In a matrix, groups are sorted by their mean, and a star marks a difference beyond seed noise."
PAIRED = " If both groups have runs with the same seeds, differences are computed seed by seed."
BEST_OF = "The expected best result of N trials of a tuned group: compare groups at the same N, the same budget."
SETTINGS = (
    "Settings that vary between runs. Importance is the share of the metric's variation that a setting explains, "
    "whichever value is good."
)
GAME = "The discriminator's output on real and generated samples, the terms of the loss, and the speed: group means."
DIFFERENCES = "Only settings that differ between groups."
RUNS = "All runs, each with the command that started it."


def contents(comparison: Comparison, first: Sequence[Section] = ()) -> dict[str, Any]:
    """Return the page without its images. first: sections before all others."""
    arrays, curves = figures.Arrays(), cache(comparison.curves)
    panels = metric_panels(comparison, curves)

    def drawn(panels: list[Panel]) -> list[Block]:
        return figure_block(figures.curve_figure(arrays, comparison, curves, panel) for panel in panels)

    def each_metric(figure: Any) -> list[Block]:
        return figure_block(figure(comparison, metric) for metric in comparison.metrics)

    paired = PAIRED if any(pair.paired for pair in comparison.pairs) else ""
    matrices = MATRICES if len(comparison.groups) >= MATRIX else ""
    warned = (
        WARNED if any(comparison.warned(m, group) for m in comparison.metrics for group in comparison.groups) else ""
    )
    sections = [
        *first,
        Section("numbers", "Final numbers", numbers_lead(comparison), numbers(comparison)),
        Section("setup", "Setup", SETUP, [{"kind": "facts", "facts": found}] if (found := setup(comparison)) else []),
        Section("curves", "Training curves", CURVES, drawn(panels)),
        Section("final", "Distribution over runs", FINAL + warned, each_metric(figures.distribution_figure)),
        Section("pairs", "Pairwise comparison", PAIRWISE + paired + matrices, pairwise(comparison)),
        Section("best-of", "Best of N trials", BEST_OF, each_metric(figures.best_of_figure)),
        Section(SAMPLES, "Samples", "", []),
        Section("settings", "Hyperparameters", SETTINGS, hyperparameters(comparison)),
        Section("game", "Training dynamics", GAME, drawn(game_panels(comparison))),
        Section("differences", "Differences in the config", DIFFERENCES, differences(comparison)),
        Section("runs", "Runs", RUNS, runs(comparison)),
    ]
    return {
        "title": comparison.title or f"Comparison by {shortened(comparison.by, 80)}",
        "summary": summary(comparison),
        "notes": notes(comparison),
        "axes": [{"key": axis, "name": "rounds" if axis == "round" else axis, "title": TITLES[axis]} for axis in AXES],
        "axis": comparison.axis,
        "logarithmic": any(panel.logarithmic and wide(curves, panel.scalar, comparison.axis) for panel in panels),
        "groups": [{"name": name, **figures.style_of(i)} for i, name in enumerate(comparison.groups)],
        "sections": [section._asdict() for section in sections],
        "arrays": arrays.all,
    }


def with_images(document: dict[str, Any], images: Block | None) -> dict[str, Any]:
    """Return the page with its images and without empty sections."""
    sections = []
    for part in document["sections"]:
        if part["id"] == SAMPLES and images:
            cut = " Some rounds and seeds are left out to keep the page small." if images["cut"] else ""
            part = {
                **part,
                "lead": f"From the same latents, at the same round; click an image to enlarge it.{cut}",
                "blocks": [images],
            }
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
    """Return the table of final numbers, and the commands of the page and its figures."""
    rows: list[Any] = []
    for metric in comparison.metrics:
        found, leaders = comparison.summaries.get(metric, {}), comparison.leaders(metric)
        mark = "best" if comparison.best(metric) else "tied" if 1 < len(leaders) < len(found) else ""
        if found:
            rows.append([{"text": comparison.heading(metric), "heading": True}])
        for group, cell in group_cells(comparison).items() if found else ():
            numbers: list[Any] = [NONE] * 4
            if s := found.get(group):
                mean = {"text": rounded(s.mean, s.interval or s.std), "mark": mark if group in leaders else ""}
                none = "none: all equal" if s.std == 0 else f"none: {count(len(s.values), 'run')}"
                ends = spread(s.interval) if s.interval else none
                std = NONE if s.std is None else f"{s.std:.2g}"
                numbers = [mean, ends, rounded(s.median, s.interval or s.std), std]
            runs = {"text": comparison.counted(metric, group), "warned": bool(comparison.warned(metric, group))}
            rows.append([cell, runs, *numbers])
    columns = ["group", "runs", "mean", "95 % interval", "median", "std"]
    return [*table(columns, rows, numeric=(2, 3, 4, 5)), *commands(comparison.command)]


def commands(command: str) -> list[Block]:
    """Return the commands of the page, and of its figures and table."""
    found = {"This page": command}
    if command.startswith("gan compare") and "--figures" not in command:
        found["SVG, PDF, LaTeX"] = f"{command} --no-html --figures figures"
    return [{"kind": "command", "text": text, "label": label} for label, text in found.items()]


def metric_panels(comparison: Comparison, curves: Curves) -> list[Panel]:
    """Return a panel for each metric, possibly logarithmic if lower is better."""
    panels = []
    for metric, better in comparison.metrics.items():
        drawn = curves(METRICS + metric, comparison.axis).values()
        logarithmic = better == "min" and all(y > 0 for curve in drawn for y in curve.mean)
        published = comparison.references.get(metric)
        reference = None if published is None else (published, f"published: {published:g}")
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
        Panel("probability/real", "D(x): probability of real for real samples", reference=UNSURE),
        Panel("probability/fake", "D(G(z)): probability of real for generated samples", reference=UNSURE),
        *(Panel(key, key) for key in sorted(logged) if key.startswith("loss/")),
        Panel("speed/rounds_per_second", "throughput: rounds per second"),
    ]
    return [panel for panel in panels if panel.scalar in logged]


def pairwise(comparison: Comparison) -> list[Block]:
    """Return each metric's pairs as figures and rows.

    Many groups: a matrix, and the pairs with the best mean.
    """
    drawn: list[Figure] = []
    rows: list[Any] = []
    cells = group_cells(comparison)
    for metric, better in comparison.metrics.items():
        pairs = [pair for pair in comparison.pairs if pair.metric == metric]
        if len(comparison.summaries.get(metric, {})) >= MATRIX:
            best = comparison.best_mean(metric)
            pairs = [turned(pair) if pair.a == best else pair for pair in comparison.main_pairs(metric, 0)]
            drawn.append(figures.matrix_figure(comparison, metric))
        elif pairs:
            drawn.append(figures.improvement_figure(metric, pairs))
        if pairs:
            drawn.append(figures.difference_figure(comparison, metric, pairs))
            rows.append([{"text": comparison.heading(metric), "heading": True}])
        for pair in pairs:
            probability = NONE if pair.interval is None else "{:.2f} to {:.2f}".format(*pair.interval)
            holm = NONE if pair.p_holm is None else f"{pair.p_holm:.2g}"
            ends_of = NONE if pair.difference_interval is None else spread(pair.difference_interval)
            difference = [rounded(pair.difference, pair.difference_interval), ends_of, holm]
            end = {"text": conclusion(pair, better), "words": True}
            rows.append([cells[pair.a], cells[pair.b], f"{pair.probability:.2f}", probability, *difference, end])
    ends, left_out = "95 % interval", len(comparison.pairs) - sum(len(row) > 1 for row in rows)
    columns = ["first", "second", "P(first better)", ends, "difference of means", ends, "Holm's p", "conclusion"]
    caption = f"{count(left_out, 'pair')} without the best mean are in the matrices and in --json." if left_out else ""
    return [*figure_block(drawn, columns=2), *table(columns, rows, caption, numeric=(2, 3, 4, 5, 6))]


def turned(pair: Pair) -> Pair:
    """Return a pair with its groups exchanged."""
    ends = pair.difference_interval and (-pair.difference_interval[1], -pair.difference_interval[0])
    interval = pair.interval and (1 - pair.interval[1], 1 - pair.interval[0])
    exchanged = replace(pair, a=pair.b, b=pair.a, interval=interval, difference_interval=ends)
    return replace(exchanged, probability=1 - pair.probability, difference=-pair.difference)


def conclusion(pair: Pair, better: str) -> str:
    """Return the conclusion that Holm's p and the interval of the difference allow."""
    if pair.p_holm is None:
        return "too few runs for a test"
    if winner := pair.winner(better):
        return f"{winner} is better, beyond seed noise"
    low, high = pair.difference_interval or (0.0, 0.0)
    return "within seed noise" if low <= 0 <= high else "within seed noise, among so many pairs"


def hyperparameters(comparison: Comparison) -> list[Block]:
    """Return parallel coordinates and importance, if settings vary within a group."""
    within = (varied_settings([record for record in of if record.rows]) for of in comparison.groups.values())
    if not any(within):
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
