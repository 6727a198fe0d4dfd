"""The page of a recipe: curves with the published number, and samples."""

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
    """Write RECIPE.html for each recipe that was measured in the folder; return the paths."""
    if not any(folder.rglob(RUN)):
        return []
    records, _ = read_folder(folder)
    written = []
    for result in results:
        if (comparison := compare_recipe(result, results, records)) is not None:
            written.append(folder / f"{result.recipe}.html")
            write_page(comparison, written[-1])
    return written


def compare_recipe(result: Result, results: list[Result], records: list[Record]) -> Comparison | None:
    """Return the comparison of a recipe with its baselines if their protocols agree, or alone."""
    judged = verdicts(result, {other.recipe: other for other in results})
    columns = [column for column in result.claim.columns if column in result.better] or list(result.better)
    if not (columns := [column for column in columns if result.values(column)]):
        return None
    notes = [f"{v.what}: published {v.published}, ours {v.ours or 'not measured'}: {v.text}" for v in judged]
    baselines = {name for names in result.claim.better_than.values() for name in names}
    for names in ({result.recipe, *baselines}, {result.recipe}):
        chosen = [record for record in records if record.choices.get("experiment") in names]
        try:
            found = compare(chosen, "experiment", columns, notes=[result.claim.claim, *notes], command=result.command)
        except UserError:  # the protocols differ
            continue
        numbers = {column: number["value"] for column, number in result.claim.numbers.items()}
        return replace(found, title=result.recipe, references=numbers)
    return None
