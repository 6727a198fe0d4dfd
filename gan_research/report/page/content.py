"""What a page says, as plain values: sections of tables, figures and pictures. All text in it is shown as text."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from gan_research.report.comparison import AXES, Comparison, Curve, Pair
from gan_research.report.page.figures import (
    COLOURS,
    Arrays,
    Curves,
    Figure,
    Panel,
    best_of_figure,
    curve_figure,
    distribution_figure,
    importance_figure,
    look,
    pair_figures,
)
from gan_research.report.page.parallel import parallel_figure
from gan_research.report.page.text import NONE, UNITS, at, count, direction, interval, number, shortened
from gan_research.report.records import Record

PAIRS = 28
"""Of a metric, drawn at most: beyond, those with the best group only."""
FIGURES = 4
"""Of metrics with parallel coordinates and importance, at most."""

Block = dict[str, Any]


def contents(comparison: Comparison) -> dict[str, Any]:
    """The whole page but for its pictures."""
    arrays, curves = Arrays(), cache(comparison.curves)
    panels = metric_panels(comparison, curves)
    sections = [
        section("numbers", "Final numbers", numbers_lead(comparison), numbers(comparison)),
        section(
            "curves",
            "Over training",
            CURVES,
            figures(curve_figure(arrays, comparison, curves, panel) for panel in panels),
        ),
        section("final", "Distribution over runs", FINAL, over_metrics(comparison, distribution_figure)),
        section("pairs", "Pairwise", pairs_lead(comparison), pairwise(comparison)),
        section("best-of", "Best of N trials", BEST_OF, over_metrics(comparison, best_of_figure)),
        section(SAMPLES, "Samples", "", []),
        section("settings", "Hyperparameters", SETTINGS, hyperparameters(comparison)),
        section(
            "game",
            "The game",
            GAME,
            figures(curve_figure(arrays, comparison, curves, panel) for panel in game(comparison)),
        ),
        section("differences", "Differences in the config", DIFFERENCES, differences(comparison)),
        section("runs", "Runs", RUNS, runs(comparison)),
    ]
    return {
        "title": comparison.title or f"{shortened(comparison.by, 80)} compared",
        "summary": summary(comparison),
        "notes": notes(comparison),
        "axes": [{"key": axis, "name": axis if axis != "round" else "rounds", "title": UNITS[axis]} for axis in AXES],
        "axis": comparison.axis,
        "logarithmic": any(panel.logarithmic and spans(curves(panel.scalar, comparison.axis)) for panel in panels),
        "groups": [{"name": name, **look(i)} for i, name in enumerate(comparison.groups)],
        "colours": COLOURS,
        "sections": sections,
        "arrays": arrays.all,
    }


def completed(document: dict[str, Any], pictures: Block | None) -> dict[str, Any]:
    """With its pictures, and without sections in which there is nothing."""
    sections = []
    for part in document["sections"]:
        if part["id"] == SAMPLES and pictures:
            cut = " There was no room for all rounds and seeds." if pictures["cut"] else ""
            part = {**part, "lead": f"Of the same latents at the same round.{cut}", "blocks": [pictures]}
        if part["blocks"]:
            sections.append(part)
    return {**document, "sections": sections}


SAMPLES = "samples"
CURVES = (
    "Thick lines are means over the runs of a group, bands the 95 % interval of the mean over training seeds, thin "
    "lines single runs. Where a group has one run there is no band; one far wider than the lines is cut off."
)
FINAL = "Each mark is a run; the diamond above them is the mean with its 95 % interval, the upright stroke the median."
BEST_OF = "The best result that N trials of a tuned group are expected to find: compare at the same N, the same budget."
SETTINGS = (
    "Settings that vary between the runs. Importance says how much of the metric's variation a setting explains, not "
    "which value is good."
)
GAME = (
    "What the discriminator says of real and of generated samples, the terms of the loss, and the speed; means over "
    "the runs of a group."
)
DIFFERENCES = "Only what isn't the same in all groups."
RUNS = "Each with the command that made it."


def section(key: str, title: str, lead: str, blocks: list[Block]) -> dict[str, Any]:
    return {"id": key, "title": title, "lead": lead, "blocks": blocks}


def figures(found: Iterable[Figure | None], columns: int | None = None) -> list[Block]:
    """One block of those figures that there are; without `columns`, in as many as leave the last row fullest."""
    drawn = [figure for figure in found if figure is not None]
    if columns is None:
        columns = len(drawn) if len(drawn) < 3 else 2 if len(drawn) == 4 else 3
    return [{"kind": "figures", "figures": drawn, "columns": columns}] if drawn else []


def over_metrics(comparison: Comparison, figure: Callable[[Comparison, str], Figure | None]) -> list[Block]:
    return figures(figure(comparison, metric) for metric in comparison.metrics)


def table(columns: list[str], rows: list[Any], caption: str = "", numeric: tuple[int, ...] = ()) -> Block:
    """Of cells that are texts, or {"text", ...} with group, mark, code, copy, state, words or heading."""
    return {"kind": "table", "columns": columns, "rows": rows, "caption": caption, "numeric": list(numeric)}


def summary(comparison: Comparison) -> str:
    seeds = {record.seed for record in comparison.records if record.seed is not None}
    parts = [count(len(comparison.records), "run"), count(len(comparison.groups), "group"), count(len(seeds), "seed")]
    metrics = ", ".join(comparison.metrics) or "no metric yet"
    return f"{' · '.join(parts)} · {metrics}"


def notes(comparison: Comparison) -> list[str]:
    """What has to be known before the numbers are read."""
    if not comparison.failed:
        return list(comparison.notes)
    names = shortened(", ".join(record.name for record in comparison.failed), 200)
    failed = f"{count(len(comparison.failed), 'run')} failed ({names}): the reasons are at the end of this page"
    return [failed, *comparison.notes]


def numbers_lead(comparison: Comparison) -> str:
    methods = {s.method for of in comparison.summaries.values() for s in of.values() if s.method}
    how = f" ({' or '.join(sorted(methods))})" if methods else ""
    position = at(comparison.position, comparison.axis)
    return f"Taken at {position}. Intervals are of the mean, 95 %, over training seeds{how}."


def numbers(comparison: Comparison) -> list[Block]:
    """The table of final numbers, one part a metric, and the command that makes the page."""
    rows: list[Any] = []
    for metric, best in comparison.metrics.items():
        found = comparison.summaries.get(metric, {})
        if not found:
            continue
        rows.append([{"text": f"{metric}, {direction(best)}", "heading": True}])
        winner = comparison.best(metric)
        for i, group in enumerate(comparison.groups):
            if group not in found:
                rows.append([{"text": group, "group": i}, comparison.counted(metric, group), *[NONE] * 4])
                continue
            s = found[group]
            ends = "none: one run" if len(s.values) == 1 else interval(s.interval)
            mean = {"text": number(s.mean), **({"mark": "best"} if group == winner else {})}
            rows.append(
                [
                    {"text": group, "group": i},
                    comparison.counted(metric, group),
                    mean,
                    ends,
                    number(s.median),
                    number(s.std),
                ]
            )
    columns = ["group", "runs", "mean", "95 % interval", "median", "std"]
    blocks = [table(columns, rows, numeric=(2, 3, 4, 5))] if rows else []
    return [*blocks, {"kind": "command", "text": comparison.command, "label": "This page"}]


def metric_panels(comparison: Comparison, curves: Curves) -> list[Panel]:
    """Each metric; what is small where it is good may be drawn on a logarithmic scale, if all of it is positive."""
    panels = []
    for metric, best in comparison.metrics.items():
        drawn = curves(f"metrics/{metric}", comparison.axis).values()
        logarithmic = best == "min" and all(y > 0 for curve in drawn for y in curve.mean)
        title = f"{metric}, {direction(best)}"
        reference = comparison.references.get(metric)
        panels.append(Panel(f"metrics/{metric}", title, True, logarithmic, reference))
    return panels


def spans(curves: dict[str, Curve]) -> bool:
    """Whether their means span more than a factor of 20."""
    values = [y for curve in curves.values() for y in curve.mean]
    return bool(values) and max(values) > 20 * min(values)


def game(comparison: Comparison) -> list[Panel]:
    """D(x), D(G(z)), each term of the loss, rounds per second; of those what is logged."""
    logged = {key for record in comparison.records for row in record.rows for key in row}
    terms = sorted(key for key in logged if key.startswith("loss/"))
    panels = [
        Panel("probability/real", "D(x): probability of real for reals", reference=0.5),
        Panel("probability/fake", "D(G(z)): probability of real for fakes", reference=0.5),
        *(Panel(key, key) for key in terms),
        Panel("speed/rounds_per_second", "throughput: rounds per second"),
    ]
    return [panel for panel in panels if panel.scalar in logged]


def pairs_lead(comparison: Comparison) -> str:
    paired = (
        " Where both groups have runs of the same seeds, differences are taken seed by seed."
        if any(p.paired for p in comparison.pairs)
        else ""
    )
    return (
        "A difference is more than seed noise where its 95 % interval excludes 0. Each interval stands alone: of 20 "
        f"pairs without any difference, one is expected to look like one.{paired}"
    )


def pairwise(comparison: Comparison) -> list[Block]:
    """Figures and a table of each metric's pairs."""
    drawn: list[Figure] = []
    rows: list[Any] = []
    left_out = 0
    order = {group: i for i, group in enumerate(comparison.groups)}
    for metric, best in comparison.metrics.items():
        pairs = [pair for pair in comparison.pairs if pair.metric == metric]
        if len(pairs) > PAIRS:
            winner = comparison.best(metric)
            left_out += sum(winner not in (pair.a, pair.b) for pair in pairs)
            pairs = [pair for pair in pairs if winner in (pair.a, pair.b)]
        if pairs:
            drawn += pair_figures(comparison, metric, pairs)
            rows.append([{"text": f"{metric}, {direction(best)}", "heading": True}])
            rows += [pair_row(pair, best, order) for pair in pairs]
    if not rows:
        return []
    columns = [
        "first",
        "second",
        "P(first better)",
        "95 % interval",
        "difference of means",
        "95 % interval",
        "in words",
    ]
    caption = f"{count(left_out, 'pair')} without the best group aren't shown: --json has all." if left_out else ""
    return [*figures(drawn, columns=2), table(columns, rows, caption, numeric=(2, 3, 4, 5))]


def pair_row(pair: Pair, best: str, order: dict[str, int]) -> list[Any]:
    return [
        {"text": pair.a, "group": order[pair.a]},
        {"text": pair.b, "group": order[pair.b]},
        f"{pair.probability:.2f}",
        NONE if pair.interval is None else "{:.2f} to {:.2f}".format(*pair.interval),
        number(pair.difference),
        interval(pair.difference_interval),
        {"text": in_words(pair, best), "words": True},
    ]


def in_words(pair: Pair, best: str) -> str:
    """What the interval of the difference allows to say."""
    if pair.difference_interval is None:
        return "one run: no interval can be given"
    low, high = pair.difference_interval
    if low <= 0 <= high:
        return "no more than seed noise"
    better = pair.a if (pair.difference < 0) == (best == "min") else pair.b
    return f"{better} is better, by more than seed noise"


def hyperparameters(comparison: Comparison) -> list[Block]:
    """Parallel coordinates and importance, where more than the grouping itself varies."""
    keys = [key.strip() for key in comparison.by.split(",")]
    if not [key for key in comparison.varied if key not in keys]:
        return []
    metrics = list(comparison.metrics)[:FIGURES]
    lines = (parallel_figure(comparison, metric, comparison.varied) for metric in metrics)
    bars = (importance_figure(comparison, metric) for metric in metrics)
    return [*figures(lines, columns=1), *figures(bars)]


def differences(comparison: Comparison) -> list[Block]:
    if not comparison.differences:
        return []
    groups = list(comparison.groups)
    rows = [
        [{"text": key, "code": True}, *(of.get(group, NONE) for group in groups)]
        for key, of in comparison.differences.items()
    ]
    return [table(["setting", *groups], rows)]


def runs(comparison: Comparison) -> list[Block]:
    """A table of all runs, those that failed first."""
    listed = [(i, record) for i, group in enumerate(comparison.groups.values()) for record in group]
    known = {record.id for _, record in listed}
    listed += [(-1, record) for record in comparison.failed if record.id not in known]
    listed.sort(key=lambda item: item[1].state != "failed")
    groups = list(comparison.groups)
    rows = [run_row(record, groups[i] if i >= 0 else NONE, i) for i, record in listed]
    return [table(["run", "group", "seed", "state", "command"], rows)] if rows else []


def run_row(record: Record, group: str, i: int) -> list[Any]:
    state = {"text": record.state, "state": record.state, "reason": record.reason or ""}
    trial = "" if record.trial is None else f"trial {record.trial} · "
    return [
        {"text": record.name, "below": f"{trial}{record.source}"},
        {"text": group, "group": i} if i >= 0 else group,
        NONE if record.seed is None else str(record.seed),
        state,
        {"text": record.command, "copy": True},
    ]
