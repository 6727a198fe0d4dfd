"""Results as tables: in the terminal, and in Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median

from rich.table import Table
from rich.text import Text

from gan_research.reproduction.result import Result
from gan_research.reproduction.verdict import Verdict, verdicts

COLUMNS = ("recipe", "number", "published", "ours", "seeds", "verdict", "rounds", "kimg", "a seed takes", "device")

Row = tuple[Result, Verdict]


def rows(results: Sequence[Result]) -> list[Row]:
    """Return each claim of each result; other recipes of the same budget are what orders are judged by."""
    found: list[Row] = []
    for result in results:
        others = {other.recipe: other for other in results if other.budget == result.budget}
        found += [(result, verdict) for verdict in verdicts(result, others)]
    return found


def notes(lines: Iterable[Row]) -> list[str]:
    """Return what has to be said of the origin of these rows, each note once."""
    return list(dict.fromkeys(note for _, verdict in lines for note in verdict.notes))


def cells(result: Result, verdict: Verdict) -> tuple[str, ...]:
    """A row, as texts."""
    over = result.finished
    return (
        result.recipe,
        verdict.what,
        verdict.published,
        verdict.ours or "–",  # noqa: RUF001
        seeds_told(result),
        verdict.told,
        f"{result.rounds:,}",
        f"{median(seed.kimg for seed in over):,.0f}" if over else "",
        duration(median(seed.seconds for seed in over)) if over else "",
        ", ".join(dict.fromkeys(seed.device for seed in over)),
    )


def seeds_told(result: Result) -> str:
    """How many of them are in the numbers: "3", or "2 of 3 (1 diverged)"."""
    others = [seed.state for seed in result.seeds if seed.state != "finished"]
    if not others:
        return str(len(result.seeds))
    counts = ", ".join(f"{others.count(state)} {state}" for state in dict.fromkeys(others))
    return f"{len(result.finished)} of {len(result.seeds)} ({counts})"


def duration(seconds: float) -> str:
    """ "48 s", "12 min", "7.5 h", "12 days"."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.0f} s"


def terminal_table(results: Sequence[Result]) -> Table:
    """What fits into a terminal."""
    table = Table(title="published, and ours: mean [95 % over training seeds]", title_justify="left")
    for name in COLUMNS[:6]:
        table.add_column(name, overflow="fold")
    before = None
    for result, verdict in rows(results):
        if before not in (None, result.recipe):
            table.add_section()
        recipe, *rest = cells(result, verdict)[:6]
        table.add_row(*map(Text, ("" if before == result.recipe else recipe, *rest)))
        before = result.recipe
    return table


def markdown_table(columns: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    head = [columns, ["---"] * len(columns)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in [*head, *lines])


def results_table(lines: Sequence[Row]) -> str:
    """Return these rows in Markdown; the origin of some is told below, by the numbers in a last column."""
    said = notes(lines)
    if not said:
        return markdown_table(COLUMNS, (cells(*line) for line in lines))
    numbers = {note: str(number) for number, note in enumerate(said, 1)}
    marked = ((*cells(*line), ", ".join(numbers[note] for note in line[1].notes)) for line in lines)
    below = "\n".join(f"{number}. {note}" for note, number in numbers.items())
    return f"{markdown_table((*COLUMNS, 'notes'), marked)}\n\n{below}"
