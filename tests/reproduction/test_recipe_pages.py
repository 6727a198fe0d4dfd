"""The page of a recipe: each published value next to ours, and the number as a line."""

import json

import pytest
from made import make_run
from made_results import result, seed_result

from gan_research.report.folders import read_folder
from gan_research.report.page.page import content_of
from gan_research.reproduction.recipe_pages import compare_recipe, verdict_section, write_pages

MODES = {0: 6.9, 1: 7.0, 2: 7.1}
CLAIMS = {
    "trajectory": [{"column": "modes", "statistic": "max", "at_most": 2, "why": "figure 2"}],
    "better_than": {"modes": ["grid"]},
}


@pytest.fixture
def runs(tmp_path):
    """A folder with three runs of the recipe."""
    for seed, modes in MODES.items():
        protocol, better = {"extractor": "values", "num_fake": 2500, "ema": False}, {"modes": "max"}
        values = {"fid": (), "extra": {"modes": (0.0, 3.0, modes)}, "protocol": protocol, "better": better}
        folder = make_run(tmp_path / f"run{seed}", seed=seed, samples=False, rounds=200, **values)
        fields = json.loads((folder / "run.json").read_text())
        fields["choices"]["experiment"] = "ring"
        (folder / "run.json").write_text(json.dumps(fields))
    return tmp_path


def found(published=None):
    return result(seeds=[seed_result(seed, modes) for seed, modes in MODES.items()], published=published)


def test_published_and_ours_are_a_table_with_verdicts_and_nothing_is_a_note(runs):
    judged = found(CLAIMS)
    section = verdict_section(judged, [judged])
    (table,) = section.blocks
    cells = [[cell if isinstance(cell, str) else cell["text"] for cell in row] for row in table["rows"]]
    assert [row[:3] for row in cells] == [
        ["modes", "7 ± 0.25", "7 [{:.4g}, {:.4g}]".format(*judged.interval("modes"))],
        ["modes, max", "at most 2", "6.9, 7, 7.1"],
        ["modes, against grid", "better", "–"],  # noqa: RUF001
    ]
    assert [row[3]["mark"] for row in table["rows"]] == ["reproduced", "not reproduced", "not comparable"]
    assert [row[3] for row in cells] == ["", "violated by 3 of 3 seeds", "grid wasn't run at this budget"]
    comparison = compare_recipe(judged, [judged], read_folder(runs)[0])
    assert comparison.references == {"modes": 7.0}
    document = content_of(comparison, [section]).document
    assert document["sections"][0]["id"] == "verdicts"
    assert document["sections"][0]["lead"].startswith("Seven modes are found. Source: ")
    assert not any("published" in note for note in document["notes"])


def test_a_page_is_written_for_each_measured_recipe(runs, tmp_path_factory):
    assert write_pages([found()], runs) == [runs / "ring.html"]
    assert "<title>ring</title>" in (runs / "ring.html").read_text()
    assert write_pages([found()], tmp_path_factory.mktemp("empty")) == []
