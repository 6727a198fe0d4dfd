"""gan theory phases as users run it: the game of figure 1 ends where theorem 1 says, whatever the seed."""

import json
import math

import pytest

from gan_research.cli import main


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_phases_end_at_the_data_with_a_discriminator_that_knows_nothing(seed, tmp_path):
    assert main(["theory", "phases", f"seed={seed}", "logger=none", f"output={tmp_path}"]) == 0
    (folder,) = tmp_path.iterdir()
    numbers = json.loads((folder / "theory" / "phases.json").read_text())
    final = numbers["final"]
    assert numbers["jsd"][0] > 0.1
    assert 0 <= final["jsd"] <= 0.01
    assert 0 <= final["deviation"] <= 0.05
    assert 0 <= final["regret"] <= 0.02
    assert final["value"] == pytest.approx(-math.log(4), abs=0.01)
    assert (final["real"], final["fake"]) == pytest.approx((0.5, 0.5), abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_at_equal_rates_phases_get_near(seed, tmp_path):
    """D at G's rate lags behind: p_g is left where D no longer corrects it (JSD up to 0.011 over these seeds)."""
    slower = "optimizer.discriminator.lr=1e-3"
    assert main(["theory", "phases", f"seed={seed}", slower, "logger=none", f"output={tmp_path}"]) == 0
    (folder,) = tmp_path.iterdir()
    numbers = json.loads((folder / "theory" / "phases.json").read_text())
    assert 0 <= numbers["final"]["jsd"] <= 0.05
    assert numbers["final"]["jsd"] < 0.2 * numbers["jsd"][0]
    assert 0 <= numbers["final"]["deviation"] <= 0.05
