"""A page for each recipe: curves, with the published number in them, and samples."""

from dataclasses import replace
from pathlib import Path

from gan_research.report.comparison import Comparison, compare
from gan_research.report.folders import read_folder
from gan_research.report.page import write_page
from gan_research.report.records import Record
from gan_research.reproduction.result import Result
from gan_research.reproduction.verdict import verdicts
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import RUN


def write_pages(results: list[Result], folder: Path) -> list[Path]:
    """Write RECIPE.html into the folder of a reproduction for each recipe that was measured there; return the paths."""
    if not any(folder.rglob(RUN)):
        return []
    records, _ = read_folder(folder)
    written = []
    for result in results:
        comparison = compared(result, results, records)
        if comparison is not None:
            written.append(folder / f"{result.recipe}.html")
            write_page(comparison, written[-1])
    return written


def compared(result: Result, results: list[Result], records: list[Record]) -> Comparison | None:
    """A recipe, and beside it those that it is said to do better than, where they were measured alike."""
    others = {other.recipe: other for other in results}
    judged = verdicts(result, others)
    columns = [column for column in result.claim.columns if column in result.better] or list(result.better)
    columns = [column for column in columns if result.values(column)]
    notes = [f"{v.what}: published {v.published}, ours {v.ours or 'not measured'}: {v.told}" for v in judged]
    beside = {name for names in result.claim.better_than.values() for name in names}
    if not columns:
        return None
    for names in ({result.recipe, *beside}, {result.recipe}):
        chosen = [record for record in records if record.choices.get("experiment") in names]
        try:
            found = compare(chosen, "experiment", columns, notes=[result.claim.claim, *notes], command=result.command)
        except UserError:  # by other protocols
            continue
        numbers = {column: number["value"] for column, number in result.claim.numbers.items()}
        return replace(found, title=result.recipe, references=numbers)
    return None
