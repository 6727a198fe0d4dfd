"""A comparison in the terminal."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_research.report.comparison import Comparison, Pair, Summary
from gan_research.report.finals import place_text

ARROWS = {"min": "↓", "max": "↑"}

MOST = 10
"""Pairs of a metric that are all shown; of more, those with the best group."""

WIDTH = 120
"""Of what isn't read in a terminal."""


def show(comparison: Comparison, console: Console | None = None) -> None:
    """Print all that a comparison comes to."""
    console = console or Console()
    if not console.is_terminal:
        console = Console(file=console.file, width=WIDTH)
    if comparison.metrics:
        console.print(numbers_table(comparison))
    if shown := list(shown_pairs(comparison)):
        console.print(pairs_table(comparison, shown))
    for record in comparison.failed:
        reason = (record.reason or "it doesn't say why").partition("; ")[0]
        console.print(Text(f"failed: {record.source}: {reason}"), soft_wrap=True)
    for note in comparison.notes:
        console.print(Text(f"note: {note}"), soft_wrap=True)


def numbers_table(comparison: Comparison) -> Table:
    """The summaries: a block of rows for each metric."""
    title = f"at {place_text(comparison.position, comparison.axis)}, by {comparison.by}"
    table = Table(title=Text(title), title_justify="left")
    for name in ("metric", "group", "runs"):
        table.add_column(name, overflow="fold")
    for name in ("mean, 95 %", "median", "std"):
        table.add_column(name, justify="right")
    for metric, better in comparison.metrics.items():
        best = comparison.best(metric)
        for group in comparison.groups:
            summary = comparison.summaries[metric].get(group)
            texts = summary_texts(summary) if summary is not None else ["-"] * 3
            texts[0] = f"{texts[0]} *" if group == best else f"{texts[0]}  "
            row = [f"{metric} {ARROWS[better]}", group, comparison.counted(metric, group), *texts]
            table.add_row(*map(Text, row), style="bold" if group == best else None)
        table.add_section()
    table.caption = Text("* the best mean; ± is over training seeds", justify="left")
    return table


def summary_texts(summary: Summary) -> list[str]:
    """Mean with its interval, median, and standard deviation."""
    mean = f"{summary.mean:.4g}"
    if summary.interval is not None:
        low, high = summary.interval
        exact = summary.method == "Student-t"
        mean += f" ± {(high - low) / 2:.2g}" if exact else f" [{low:.4g}, {high:.4g}]"
    return [mean, f"{summary.median:.4g}", "-" if summary.std is None else f"{summary.std:.2g}"]


def shown_pairs(comparison: Comparison) -> Iterator[Pair]:
    """All pairs of a metric, or those with the best group where they are many."""
    for metric in comparison.metrics:
        pairs = [pair for pair in comparison.pairs if pair.metric == metric]
        best = comparison.best(metric)
        yield from (pair for pair in pairs if len(pairs) <= MOST or best in (None, pair.a, pair.b))


def pairs_table(comparison: Comparison, pairs: list[Pair]) -> Table:
    """Probability of improvement and difference of means, each with its interval."""
    table = Table(title="is a run of A better than one of B?", title_justify="left")
    for name in ("metric", "A", "B"):
        table.add_column(name, overflow="fold")
    for name in ("P(A better)", "A - B"):
        table.add_column(name, justify="right")
    for metric in comparison.metrics:
        for pair in (pair for pair in pairs if pair.metric == metric):
            difference = (
                f"{pair.difference:.4g}{ends(pair.difference_interval, '.4g')}{' paired' if pair.paired else ''}"
            )
            probability = f"{pair.probability:.2f}{ends(pair.interval, '.2f')}"
            table.add_row(*map(Text, (metric, pair.a, pair.b, probability, difference)))
        table.add_section()
    left_out = len(comparison.pairs) - len(pairs)
    more = f"; {left_out} more pairs are in --json" if left_out else ""
    table.caption = Text(f"in brackets 95 %; paired: by the seeds that both have{more}", justify="left")
    return table


def ends(interval: tuple[float, float] | None, form: str) -> str:
    """An interval in brackets, if there is one."""
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]"
