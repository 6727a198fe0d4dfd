"""A comparison printed in the terminal."""

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_research.report.comparison import RULE, Comparison, Pair, Summary
from gan_research.report.records import format_x
from gan_research.report.rounding import rounded
from gan_research.report.statistics import Interval
from gan_research.utils.consoles import of_width

ARROWS = {"min": "↓", "max": "↑"}
MAX_PAIRS = 10  # the number of a metric's pairs up to which all are printed; of more, those with the best mean
MATRIX = 6  # the number of groups from which P(A better) is a matrix
WIDTH = 120  # the width of output that doesn't go to a terminal


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables of a comparison, the failed runs, and the notes."""
    console = of_width(WIDTH, console)
    if comparison.metrics:
        console.print(numbers_table(comparison), Text(numbers_caption(comparison)), soft_wrap=True)
    for metric in comparison.metrics:
        if len(comparison.summaries[metric]) >= MATRIX:
            console.print(matrix_table(comparison, metric), Text("* the means differ by more than seed noise"))
    if pairs := [pair for metric in comparison.metrics for pair in comparison.main_pairs(metric, MAX_PAIRS)]:
        caption = pairs_caption(len(comparison.pairs) - len(pairs))
        console.print(pairs_table(pairs), Text(caption), soft_wrap=True)
    for record in comparison.failed:
        reason = (record.reason or "no reason recorded").partition("; ")[0]
        console.print(Text(f"failed: {record.source}: {reason}"), soft_wrap=True)
    for note in comparison.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)


def new_table(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    """Return a table with left- and right-aligned columns."""
    table = Table(title=Text(title), title_justify="left")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right")
    return table


def numbers_table(comparison: Comparison) -> Table:
    """Return the table of summaries: a block of rows for each metric."""
    title = f"at {format_x(comparison.position, comparison.axis)}, by {comparison.by}"
    table = new_table(title, ("metric", "group", "runs"), ("mean, 95 %", "median", "std"))
    for metric, better in comparison.metrics.items():
        leaders = comparison.leaders(metric) if len(comparison.summaries[metric]) > 1 else []
        for group in comparison.groups:
            summary = comparison.summaries[metric].get(group)
            mean, *others = summary_texts(summary) if summary is not None else ["-"] * 3
            mean = f"{mean} *" if group in leaders else f"{mean}  "
            row = [f"{metric} {ARROWS[better]}", group, comparison.counted(metric, group), mean, *others]
            table.add_row(*map(Text, row), style="bold" if group in leaders else None)
        table.add_section()
    return table


def numbers_caption(comparison: Comparison) -> str:
    """Return the rule of the mark, and how the intervals are computed."""
    methods = f", by {found}" if (found := methods_text(comparison)) else ""
    return f"* {RULE}\n± or in brackets: 95 % interval over training seeds{methods}; in parentheses: two seeds"


def methods_text(comparison: Comparison) -> str:
    """Return how intervals are computed: "Student-t on the log scale (fid), bootstrap (kid)"; "" without any."""
    metrics: dict[str, list[str]] = {}
    for metric, of in comparison.summaries.items():
        for method in dict.fromkeys(summary.method for summary in of.values() if summary.method):
            metrics.setdefault(method, []).append(metric)
    if len(metrics) < 2:
        return "".join(metrics)
    return ", ".join(f"{method} ({', '.join(names)})" for method, names in metrics.items())


def summary_texts(summary: Summary) -> list[str]:
    """Return the mean with its interval, the median, and the standard deviation.

    Two values are shown themselves: they have no interval.
    """
    values, ends, std = list(summary.values.values()), summary.interval, summary.std
    spread = ends or std
    mean = rounded(summary.mean, spread)
    if ends is not None:
        mean += plus_minus(summary.mean, ends) or brackets(ends)
    elif std == 0:
        mean = f"{mean}, all equal"
    elif len(values) == 2:
        mean += f" ({', '.join(rounded(value, std) for value in values)})"
    return [mean, rounded(summary.median, spread), "-" if std is None else rounded(std, std)]


def plus_minus(mean: float, ends: Interval) -> str:
    """Return " ± 1.2" for an interval that is symmetric around the mean, else ""."""
    half = (ends[1] - ends[0]) / 2
    return f" ± {rounded(half, half)}" if abs(ends[1] - mean - half) < 1e-6 * half else ""


def brackets(ends: Interval | None) -> str:
    return "" if ends is None else f" [{rounded(ends[0], ends)}, {rounded(ends[1], ends)}]"


def matrix_table(comparison: Comparison, metric: str) -> Table:
    """Return the probabilities that a run of the row beats one of the column."""
    found, marked = comparison.probabilities(metric), comparison.distinguished(metric)
    numbers = {group: str(number) for number, group in enumerate(found, 1)}
    table = new_table(f"{metric}: P(a run of the row is better)", ("A",), tuple(f"than {n}" for n in numbers.values()))
    for a, row in found.items():
        cells = ["" if a == b else f"{row[b]:.2f}{'*' if (a, b) in marked else ' '}" for b in found]
        table.add_row(*map(Text, (f"{numbers[a]} {a}", *cells)))
    return table


def pairs_table(pairs: list[Pair]) -> Table:
    """Return the table of probabilities of improvement and differences of means, with intervals and p-values."""
    columns = ("P(A better)", "A - B", "p", "p (Holm)")
    table = new_table("is a run of A better than one of B?", ("metric", "A", "B"), columns)
    for metric, own in groupby(pairs, key=lambda pair: pair.metric):
        for pair in own:
            ends = pair.difference_interval
            difference = f"{rounded(pair.difference, ends)}{brackets(ends)}{' paired' * pair.paired}"
            probability = f"{pair.probability:.2f}" + (
                "" if pair.interval is None else " [{:.2f}, {:.2f}]".format(*pair.interval)
            )
            p_values = (p_text(pair.p_value), p_text(pair.p_holm))
            table.add_row(*map(Text, (metric, pair.a, pair.b, probability, difference, *p_values)))
        table.add_section()
    return table


def pairs_caption(left_out: int) -> str:
    """Return the meaning of the columns, and how many pairs are left out."""
    more = f"; {left_out} more pairs are in --json" if left_out else ""
    test = "p: of a paired or Welch's t-test; p (Holm): corrected for the number of pairs of the metric"
    return f"in brackets: 95 % interval, uncorrected; paired: over shared seeds{more}\n{test}"


def p_text(p: float | None) -> str:
    """Return a p-value as text: "0.017", "< 0.001"."""
    return "-" if p is None else "< 0.001" if p < 1e-3 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
