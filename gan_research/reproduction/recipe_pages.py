"""The page of a recipe: its verdicts, curves with the published number, and samples."""

from dataclasses import replace
from pathlib import Path

from gan_research.report.comparison import Comparison, compare
from gan_research.report.folders import read_folder
from gan_research.report.page import write_page
from gan_research.report.page.content import Section, table
from gan_research.report.page.text import NONE
from gan_research.report.records import Record
from gan_research.reproduction.result import Result
from gan_research.reproduction.table import format_seeds
from gan_research.reproduction.verdict import verdicts
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import RUN

OURS = "Ours is the mean with its 95 % interval over seeds"


def write_pages(results: list[Result], folder: Path) -> list[Path]:
    """Write RECIPE.html for each recipe that was measured in the folder; return the paths."""
    if not any(folder.rglob(RUN)):
        return []
    records, _ = read_folder(folder)
    written = []
    for result in results:
        if (comparison := compare_recipe(result, results, records)) is not None:
            written.append(folder / f"{result.recipe}.html")
            write_page(comparison, written[-1], [verdict_section(result, results)])
    return written


def compare_recipe(result: Result, results: list[Result], records: list[Record]) -> Comparison | None:
    """Return the comparison of a recipe with its baselines if their protocols agree, or alone."""
    columns = [column for column in result.claim.columns if column in result.better] or list(result.better)
    if not (columns := [column for column in columns if result.values(column)]):
        return None
    baselines = {name for names in result.claim.better_than.values() for name in names}
    for names in ({result.recipe, *baselines}, {result.recipe}):
        chosen = [record for record in records if record.choices.get("experiment") in names]
        try:
            found = compare(chosen, "experiment", columns, command=result.command)
        except UserError:  # the protocols differ
            continue
        numbers = {column: number["value"] for column, number in result.claim.numbers.items()}
        return replace(found, title=result.recipe, references=numbers)
    return None


def verdict_section(result: Result, results: list[Result]) -> Section:
    """Return the section with the claim, and each published value next to ours."""
    judged, claim = verdicts(result, {other.recipe: other for other in results}), result.claim
    rows = [
        [{"text": v.what, "code": True}, v.published, v.ours or NONE, {"text": v.reason, "mark": v.word, "words": True}]
        for v in judged
    ]
    lead = f"{claim.claim[0].upper()}{claim.claim[1:]}. Source: {claim.cited}. {OURS} ({format_seeds(result)})."
    notes = " ".join(f"{note}." for note in dict.fromkeys(note for v in judged for note in v.notes))
    columns = ["claim", "published", "ours", "verdict"]
    return Section("verdicts", "Published and ours", lead, table(columns, rows, notes, numeric=(1, 2)))
