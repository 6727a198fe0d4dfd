"""Kept records, and the page of results."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from made_results import PUBLISHED, result, seed_result

from gan_research.cli.reproduce import claims
from gan_research.reproduction.result import Result, digest, thin
from gan_research.reproduction.results_page import results_page
from gan_research.reproduction.table import format_duration
from gan_research.utils.errors import UserError

RESULTS = Path(__file__).parents[2] / "docs/results"


def test_a_record_is_read_as_it_was_written(tmp_path):
    one = result(7.0, 7.3, None, overrides=["seed=3"])
    one.write(tmp_path / one.file)
    assert one.file == "ring-paper.json"
    assert Result.read(tmp_path / one.file) == one


@pytest.mark.parametrize("place", [("seeds", 0, "values", "modes"), ("published", "numbers", "modes", "value")])
def test_a_record_that_was_edited_is_an_error(tmp_path, place):
    result(7.0, 7.3).write(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text())
    node = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = 8.0
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"a\.json was changed after it was written"):
        Result.read(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"sha256": "0", "seeds": []}', '{"sha256": "0", "seeds": [1]}'])
def test_what_is_no_record_is_an_error(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json is no record"):
        Result.read(tmp_path / "a.json")


def test_a_kept_curve_has_its_ends():
    points = [(float(i), i / 3) for i in range(1000)]
    kept = thin(points)
    assert len(kept) == 40
    assert kept[0] == [0.0, 0.0]
    assert kept[-1] == [999.0, 333.0]
    assert thin(points[:3]) == [[0.0, 0.0], [1.0, 0.33333], [2.0, 0.66667]]
    assert thin([]) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(48, "48 s"), (90, "1.5 min"), (720, "12 min"), (27_000, "7.5 h"), (1_036_800, "12 days")]
)
def test_durations(seconds, text):
    assert format_duration(seconds) == text


def test_an_older_record_is_read(tmp_path):
    content = asdict(result(7.0, 7.3))
    for seed in content["seeds"]:
        del seed["parts"]
        seed["values"]["is"], seed["better"] = 2.0, {"is": "max"}
    (tmp_path / "a.json").write_text(json.dumps(content | {"sha256": digest(content)}))
    read = Result.read(tmp_path / "a.json")
    assert [seed.values["modes"] for seed in read.seeds] == [7.0, 7.3]
    assert read.values("inception_score") == [2.0, 2.0]
    assert read.better == {"inception_score": "max"}
    assert read.claim.numbers == result(7.0, 7.3).claim.numbers


MISSED = {"numbers": {"modes": {"value": 9.0, "tolerance": 0.5}}}


def test_the_page_shows_what_was_run_and_what_was_not(tmp_path):
    one = result(7.0, 7.1, 6.9)
    off = result(7.0, 7.1, 6.9, recipe="off", published=MISSED)
    open = result(recipe="open", seeds=[seed_result(0, 7.0), seed_result(1, state="open")])
    short = result(3.0, budget="pilot", rounds=10, changes=["rounds: 100 -> 10"], recipe="grid")
    for found in (one, off, open, short):
        found.write(tmp_path / "records" / found.file)
    (tmp_path / "costs").mkdir()
    cost = {"flops_per_round": 1e12, "rounds": 5000, "seconds_total": 7200.0, "device": "a CPU"}
    (tmp_path / "costs" / "grid.json").write_text(json.dumps(cost))
    known = dict.fromkeys(("ring", "open", "grid", "other"), (PUBLISHED, 100)) | {"off": (PUBLISHED | MISSED, 100)}
    page = results_page(tmp_path, known)
    head = "**1 reproduced**, **0 better**, **1 not reproduced**, **1 not comparable**, **2 not run**."
    assert f"5 claims of 5 recipes, judged by runs of the whole budget: {head}" in page
    assert "| not reproduced | 1 | off (1) |" in page
    assert "| not run | 2 | 2 recipes, see below |" in page
    assert "| ring | modes | 7 ± 0.25 | 7 [6.756, 7.253] | 3 | reproduced | 100 | 6 | 1.5 min | a CPU |" in page
    assert "| grid | modes | 7 ± 0.25 | 3 | 1 | not comparable: 10 of 100 rounds | 10 |" in page
    assert "| `grid` | seven modes are found | 100 | 5 | 2 h | a CPU |" in page
    assert "| `other` | seven modes are found | 100 |  | not estimated |  |" in page
    assert "`ring` | seven" not in page
    order = [
        "| verdict | claims |", "## Judged\n", "| ring | modes |", "| off | modes |",
        "## What was tried", "### off: not reproduced\n\nNot explained yet: write what was tried, with figures, to",
        "## Run to the whole budget, and not comparable", "| open | modes |", "## The rule", "## Not run", "### other",
        "<details>\n<summary>Budget pilot: 1 numbers of 1 recipes, not judged</summary>", "| grid | modes |",
    ]  # fmt: skip
    places = [page.index(text) for text in order if not text.startswith("| off")]
    assert places == sorted(places)
    assert "paper: `gan reproduce ring --seeds 3 --budget paper` (commit 0123456789ab; torch 2.9)" in page
    assert page.endswith("</details>\n")


def test_a_note_explains_what_was_not_reproduced(tmp_path):
    off = result(7.0, 7.1, 6.9, recipe="off", published=MISSED)
    off.write(tmp_path / "records" / off.file)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "off.md").write_text("\nMore rounds were tried: 7.2 after 200.\n\n")
    (tmp_path / "notes" / "ring.md").write_text("of what was reproduced")
    page = results_page(tmp_path, {})
    assert "### off: not reproduced\n\nMore rounds were tried: 7.2 after 200.\n\n## The rule" in page
    assert "of what was reproduced" not in page
    (tmp_path / "notes" / "off.md").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"notes/off\.md can't be read as text"):
        results_page(tmp_path, {})


def test_a_claim_that_was_changed_after_the_runs_is_an_error(tmp_path):
    result(7.0, 7.1, 6.9).write(tmp_path / "records" / "ring-paper.json")
    assert "changed since" not in results_page(tmp_path, {"ring": (PUBLISHED | {"claim": "other words"}, 100)})
    page = results_page(tmp_path, {"ring": (PUBLISHED | MISSED, 200)})
    assert "- paper: judged by the recipe as it was then; changed since: numbers, rounds" in page
    assert "| ring | modes | 7 ± 0.25 |" in page


def test_where_all_seeds_diverge_it_was_run(tmp_path):
    result(None, None, published={"diverges": True, "numbers": {}}).write(tmp_path / "records" / "a.json")
    assert "**1 reproduced**" in results_page(tmp_path, {"ring": (PUBLISHED, 100)})


def test_a_broken_estimate_is_an_error(tmp_path):
    (tmp_path / "costs").mkdir()
    (tmp_path / "costs" / "ring.json").write_text("{}")
    with pytest.raises(UserError, match=r"costs/ring\.json is no estimate: write it by gan cost ring"):
        results_page(tmp_path, {"ring": (PUBLISHED, 100)})


@pytest.mark.skipif(not RESULTS.is_dir(), reason="no results are kept")
def test_the_kept_page_is_what_its_records_make():
    page = (RESULTS / "README.md").read_text()
    assert page == results_page(RESULTS, claims())
    assert "Not explained yet" not in page


def test_a_seed_that_failed_is_counted(tmp_path):
    failed = result(seeds=[seed_result(0, 7.0), seed_result(1, state="failed", reason="no space")])
    failed.write(tmp_path / "records" / failed.file)
    assert "| 1 of 2 (1 failed) | not comparable: 1 of 2 seeds" in results_page(tmp_path, {})
