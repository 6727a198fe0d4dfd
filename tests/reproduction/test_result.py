"""Records that are kept, and the page that is made of them."""

import json
from pathlib import Path

import pytest
from made_results import PUBLISHED, result, seed_result

from gan_research.cli.reproduce import claims
from gan_research.reproduction.result import Result, thinned
from gan_research.reproduction.results_page import results_page
from gan_research.reproduction.table import duration
from gan_research.utils.errors import UserError

RESULTS = Path(__file__).parents[2] / "docs/results"


def test_a_record_is_read_as_it_was_written(tmp_path):
    one = result(7.0, 7.3, None, overrides=["seed=3"])
    one.write(tmp_path / one.file)
    assert one.file == "ring-paper.json"
    assert Result.read(tmp_path / one.file) == one


@pytest.mark.parametrize("place", [("seeds", 0, "values", "modes"), ("published", "numbers", "modes", "value")])
def test_a_record_that_was_edited_is_told(tmp_path, place):
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
def test_what_is_no_record_is_told(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=r"a\.json is no record"):
        Result.read(tmp_path / "a.json")


def test_a_kept_curve_has_its_ends():
    points = [(float(i), i / 3) for i in range(1000)]
    kept = thinned(points)
    assert len(kept) == 40
    assert kept[0] == [0.0, 0.0]
    assert kept[-1] == [999.0, 333.0]
    assert thinned(points[:3]) == [[0.0, 0.0], [1.0, 0.33333], [2.0, 0.66667]]
    assert thinned([]) == []


@pytest.mark.parametrize(
    ("seconds", "told"), [(48, "48 s"), (90, "1.5 min"), (720, "12 min"), (27_000, "7.5 h"), (1_036_800, "12 days")]
)
def test_how_long(seconds, told):
    assert duration(seconds) == told


def test_the_page_shows_what_was_run_and_what_was_not(tmp_path):
    one = result(7.0, 7.1, 6.9)
    short = result(3.0, budget="pilot", rounds=10, changes=["rounds: 100 -> 10"], recipe="grid")
    for found in (one, short):
        found.write(tmp_path / "records" / found.file)
    (tmp_path / "costs").mkdir()
    cost = {"flops_per_round": 1e12, "rounds": 5000, "seconds_total": 7200.0, "device": "a CPU"}
    (tmp_path / "costs" / "grid.json").write_text(json.dumps(cost))
    page = results_page(tmp_path, dict.fromkeys(("ring", "grid", "other"), (PUBLISHED, 100)))
    assert "| ring | modes | 7 ± 0.25 | 7 [6.752, 7.248] | 3 | reproduced | 100 | 6 | 1.5 min | a CPU |" in page
    assert "| grid | modes | 7 ± 0.25 | 3 | 1 | not comparable: 10 of 100 rounds | 10 |" in page
    assert "| `grid` | seven modes are found | 100 | 5 | 2 h | a CPU |" in page
    assert "| `other` | seven modes are found | 100 |  | not estimated |  |" in page
    assert "`ring` | seven" not in page
    assert page.index("Budget: paper") < page.index("Budget: pilot") < page.index("Not run") < page.index("### other")
    assert "paper: `gan reproduce ring --seeds 3 --budget paper` (commit 0123456789ab; torch 2.9)" in page


def test_a_broken_estimate_is_told(tmp_path):
    (tmp_path / "costs").mkdir()
    (tmp_path / "costs" / "ring.json").write_text("{}")
    with pytest.raises(UserError, match=r"costs/ring\.json is no estimate: write it by gan cost ring"):
        results_page(tmp_path, {"ring": (PUBLISHED, 100)})


@pytest.mark.skipif(not RESULTS.is_dir(), reason="no results are kept")
def test_the_kept_page_is_what_its_records_make():
    assert (RESULTS / "README.md").read_text() == results_page(RESULTS, claims())


def test_a_seed_that_failed_is_counted(tmp_path):
    failed = result(seeds=[seed_result(0, 7.0), seed_result(1, state="failed", reason="no space")])
    failed.write(tmp_path / "records" / failed.file)
    assert "| 1 of 2 (1 failed) | not comparable: 1 of 2 seeds" in results_page(tmp_path, {})
