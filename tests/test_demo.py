"""The demo learns to write digits, whatever the seed."""

import json

import pytest

from gan_research.cli import main
from gan_research.utils.run_folder import read_history


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_reaches_a_fiftieth_of_its_fid_and_makes_every_digit(seed, tmp_path):
    assert main(["train", f"seed={seed}", "logger=none", f"output={tmp_path}"]) == 0
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "run.json").read_text())["name"].endswith(f"-s{seed}")
    measured = [row for row in read_history(folder / "history.jsonl") if "metrics/fid" in row]
    assert measured[0]["round"] == 0
    assert 0 < measured[-1]["metrics/fid"] < measured[0]["metrics/fid"] / 50
    assert measured[-1]["metrics/rarest_class"] >= 0.03
