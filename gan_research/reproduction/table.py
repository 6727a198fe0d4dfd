"""Tables of results, in the terminal and in Markdown."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from statistics import median

from rich.table import Table
from rich.text import Text

from gan_research.reproduction.result import Result
from gan_research.reproduction.verdict import Verdict, verdicts

COLUMNS = ("recipe", "number", "published", "ours", "seeds", "verdict", "rounds", "kimg", "a seed takes", "device")
Row = tuple[Result, Verdict]


def rows(results: Sequence[Result]) -> list[Row]:
    """Return the verdict on each claim; results of the same budget are compared."""
    return [
        (result, verdict)
        for result in results
        for verdict in verdicts(result, {other.recipe: other for other in results if other.budget == result.budget})
    ]


def notes(lines: Iterable[Row]) -> list[str]:
    """Return the notes of these rows, each once."""
    return list(dict.fromkeys(note for _, verdict in lines for note in verdict.notes))


def cells(result: Result, verdict: Verdict) -> tuple[str, ...]:
    ours = verdict.ours or "–"  # noqa: RUF001
    judged = (result.recipe, verdict.what, verdict.published, ours, format_seeds(result), verdict.text)
    cost = ("", "", "")
    if finished := result.finished:
        kimg, seconds = median(seed.kimg for seed in finished), median(seed.seconds for seed in finished)
        cost = (f"{kimg:,.0f}", format_duration(seconds), ", ".join(dict.fromkeys(seed.device for seed in finished)))
    return (*judged, f"{result.rounds:,}", *cost)


def format_seeds(result: Result) -> str:
    """Return the number of finished seeds: "3", or "2 of 3 (1 diverged)"."""
    others = [seed.state for seed in result.seeds if seed.state != "finished"]
    if not others:
        return str(len(result.seeds))
    counts = ", ".join(f"{others.count(state)} {state}" for state in dict.fromkeys(others))
    return f"{len(result.finished)} of {len(result.seeds)} ({counts})"


def format_duration(seconds: float) -> str:
    """Return a duration in its largest unit: "48 s", "12 min", "7.5 h", "12 days"."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def terminal_table(results: Sequence[Result]) -> Table:
    """Return the table with the columns that fit into a terminal."""
    table = Table(title="published, and ours: mean [95 % over training seeds]", title_justify="left")
    for name in COLUMNS[:6]:
        table.add_column(name, overflow="fold")
    for recipe, lines in groupby(rows(results), key=lambda row: row[0].recipe):
        for number, line in enumerate(lines):
            table.add_row(*map(Text, ("" if number else recipe, *cells(*line)[1:6])))
        table.add_section()
    return table


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    head = [columns, ["---"] * len(columns)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [*head, *lines])


def results_table(lines: Sequence[Row]) -> str:
    """Return these rows in Markdown, with their notes in a numbered list below."""
    numbers = {note: str(number) for number, note in enumerate(notes(lines), 1)}
    if not numbers:
        return markdown_table(COLUMNS, (cells(*line) for line in lines))
    marked = ((*cells(*line), ", ".join(numbers[note] for note in line[1].notes)) for line in lines)
    below = "\n".join(f"{number}. {note}" for note, number in numbers.items())
    return f"{markdown_table((*COLUMNS, 'notes'), marked)}\n\n{below}"
