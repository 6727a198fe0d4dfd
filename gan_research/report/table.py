"""A comparison printed in the terminal."""

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_research.report.comparison import Comparison, Pair, Summary
from gan_research.report.records import format_x

ARROWS = {"min": "↓", "max": "↑"}
MAX_PAIRS = 10  # the number of a metric's pairs up to which all are printed; of more, those with the best group
WIDTH = 120  # the width of output that doesn't go to a terminal


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Print the tables of a comparison, the failed runs, and the notes."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    if comparison.metrics:
        console.print(numbers_table(comparison))
    if pairs := [pair for metric in comparison.metrics for pair in comparison.main_pairs(metric, MAX_PAIRS)]:
        console.print(pairs_table(comparison, pairs))
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
        best = comparison.best(metric)
        for group in comparison.groups:
            summary = comparison.summaries[metric].get(group)
            mean, *others = summary_texts(summary) if summary is not None else ["-"] * 3
            mean = f"{mean} *" if group == best else f"{mean}  "
            row = [f"{metric} {ARROWS[better]}", group, comparison.counted(metric, group), mean, *others]
            table.add_row(*map(Text, row), style="bold" if group == best else None)
        table.add_section()
    table.caption = Text("* the best mean; ± is over training seeds", justify="left")
    return table


def summary_texts(summary: Summary) -> list[str]:
    """Return the mean with its interval, the median, and the standard deviation."""
    mean = f"{summary.mean:.4g}"
    if summary.interval is not None:
        half = (summary.interval[1] - summary.interval[0]) / 2
        mean += f" ± {half:.2g}" if summary.method == "Student-t" else ends(summary.interval, ".4g")
    return [mean, f"{summary.median:.4g}", "-" if summary.std is None else f"{summary.std:.2g}"]


def pairs_table(comparison: Comparison, pairs: list[Pair]) -> Table:
    """Return the table of probabilities of improvement and differences of means, with their intervals."""
    table = new_table("is a run of A better than one of B?", ("metric", "A", "B"), ("P(A better)", "A - B"))
    for metric, own in groupby(pairs, key=lambda pair: pair.metric):
        for pair in own:
            difference = f"{pair.difference:.4g}{ends(pair.difference_interval, '.4g')}{' paired' * pair.paired}"
            probability = f"{pair.probability:.2f}{ends(pair.interval, '.2f')}"
            table.add_row(*map(Text, (metric, pair.a, pair.b, probability, difference)))
        table.add_section()
    left_out = len(comparison.pairs) - len(pairs)
    more = f"; {left_out} more pairs are in --json" if left_out else ""
    table.caption = Text(f"in brackets: 95 % interval; paired: over shared seeds{more}", justify="left")
    return table


def ends(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"
