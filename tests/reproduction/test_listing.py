"""The list of recipes with their records and costs."""

import json

import pytest
from made_results import PUBLISHED, result, seed_result

from gan_research.reproduction.results_page import listing
from gan_research.utils.errors import UserError

FILE = {"rounds": 25000, "budgets": {"smoke": ["rounds=2", "batch_size=8"], "pilot": ["rounds=1_000", "rounds=1000"]}}
RULE = {"column": "modes", "statistic": "max", "since": 5000, "at_most": 6, "why": "never covers them"}
RING = FILE | {"published": PUBLISHED | {"trajectory": [RULE], "better_than": {"modes": ["grid", "other"]}}}


def lines(kept, **files):
    return list(listing(files, kept))


def test_a_recipe_without_records():
    assert lines(None, ring=RING) == [
        "ring: seven modes are found",
        "  published: modes 7 ± 0.25; modes, max from round 5,000: at most 6; better modes than grid, other "
        "(Somebody 2020, table 1)",
        "  budgets: paper 25,000, smoke 2, pilot 1,000 rounds",
        "  a seed takes: unknown: estimate it by gan cost ring",
        "  verdict: not run",
    ]


def test_a_recipe_with_records_and_costs(tmp_path):
    cost = {"flops_per_round": 1e12, "rounds": 5000, "seconds_total": 7200.0, "device": "a slow CPU"}
    (tmp_path / "costs").mkdir()
    (tmp_path / "costs" / "ring.json").write_text(json.dumps(cost))
    assert lines(tmp_path, ring=RING)[3:] == ["  a seed takes: 2 h, estimated on a slow CPU", "  verdict: not run"]
    pilot = result(7.0, budget="pilot", rounds=10)
    pilot.write(tmp_path / "records" / pilot.file)
    assert lines(tmp_path, ring=RING)[4] == "  verdict: not run"
    seeds = [seed_result(0, 7.0), seed_result(1, 7.0, seconds=180.0), seed_result(2, 7.0, seconds=600.0, device="B")]
    whole = result(seeds=seeds, published={"better_than": {"modes": ["grid", "other"]}})
    whole.write(tmp_path / "records" / whole.file)
    grid = result(2.0, 2.1, 2.0, recipe="grid")
    grid.write(tmp_path / "records" / grid.file)
    found = lines(tmp_path, ring=RING, grid=RING)
    assert found[3] == "  a seed takes: 3 min, measured on a CPU and B"
    assert found[4] == "  verdict: 2 reproduced, 1 not comparable; seeds: 3"  # other wasn't run
    assert found[9] == "  verdict: 1 not reproduced; seeds: 3"


def test_a_broken_record_is_an_error(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "ring-paper.json").write_text("{}")
    with pytest.raises(UserError, match=r"ring-paper\.json is no record"):
        lines(tmp_path, ring=RING)
