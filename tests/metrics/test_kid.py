"""The kernel distance: torch-fidelity's number, its definition, and no bias at any size of the subsets."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from gan_research.metrics import KID, Values
from gan_research.metrics.kid import squared_mmd
from gan_research.utils.errors import UserError


def features(seed: int, count: int, width: int = 12) -> Tensor:
    return 0.4 + torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def measure(real: Tensor, fake: Tensor, **settings: int) -> dict[str, float]:
    metric = KID(Values(), **settings)
    metric.update(real, of="train")
    metric.update(fake)
    return metric.compute()


@pytest.mark.parametrize("settings", [{"subsets": 7, "subset_size": 60}, {"subsets": 20, "subset_size": 300}])
def test_kid_is_that_of_torch_fidelity(settings):
    real, fake = features(0, 400), 0.2 + features(1, 300)
    found = measure(real, fake, **settings)
    theirs = {f"kid_{name}": value for name, value in settings.items()} | {"verbose": False}
    for dtype, rel in ((torch.float64, 1e-10), (torch.float32, 1e-4)):
        expected = kid_features_to_metric(fake.to(dtype), real.to(dtype), **theirs)
        assert found == {
            "kid": pytest.approx(expected[KEY_METRIC_KID_MEAN], rel=rel),
            "kid_std": pytest.approx(expected[KEY_METRIC_KID_STD], rel=rel),
        }


def test_squared_mmd_by_its_definition():
    x, y = features(0, 5, 3).double(), features(1, 5, 3).double()

    def k(a: Tensor, b: Tensor) -> float:
        return (float(a @ b) / 3 + 1) ** 3

    different = [(i, j) for i in range(5) for j in range(5) if i != j]
    within = [np.mean([k(z[i], z[j]) for i, j in different]) for z in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    assert squared_mmd(x, y).item() == pytest.approx(sum(within) - 2 * across, rel=1e-12)


@pytest.mark.parametrize("subset_size", [50, 100, 200, 400, 800])
def test_kid_of_one_distribution_is_zero_at_any_size_and_of_a_shift_is_not(subset_size):
    # kid_std is that of the subsets, not of their mean: a wide bound. `test_kid_has_no_bias` has the narrow one.
    real, fake = features(0, 3000), features(1, 3000)
    settings = {"subsets": 10, "subset_size": subset_size}
    found = measure(real, fake, **settings)
    assert abs(found["kid"]) < 3 * found["kid_std"]
    shifted = measure(real, fake + 0.5, **settings)
    assert shifted["kid"] > 3 * shifted["kid_std"]


def test_kid_has_no_bias():
    # Over 400 fresh pairs the mean is within 3 standard errors of 0; a sample paired with itself would add more.
    generator = torch.Generator().manual_seed(0)
    pairs = torch.randn(400, 2, 30, 12, generator=generator, dtype=torch.float64)
    found = torch.stack([squared_mmd(x, y) for x, y in pairs])
    error = (found.std() / 20).item()
    assert abs(found.mean().item()) < 3 * error
    x = pairs[:, 0]
    itself = (x.square().sum(2) / 12 + 1) ** 3
    assert ((itself.mean() - 1) * 2 / 30).item() > 10 * error


def test_kid_errors():
    advice = r"raise it, or change metrics\.settings\.kid \(subsets=100, subset_size=1000\)"
    with pytest.raises(UserError, match=f"'kid' needs num_samples of at least 1000, not 999: {advice}"):
        KID(Values()).check(999)
    metric = KID(Values(), subset_size=20)
    metric.check(20)
    assert metric.min_real == 20
    assert metric.settings == {"subsets": 100, "subset_size": 20}
    with pytest.raises(UserError, match="num_real of at least 20, not 19"):
        measure(features(0, 19), features(1, 20), subset_size=20)
    with pytest.raises(UserError, match="num_samples of at least 20, not 19"):
        measure(features(0, 20), features(1, 19), subset_size=20)
    for name, value, least in (("subsets", 0, 1), ("subset_size", 1, 2)):
        with pytest.raises(UserError, match=f"setting {name} of at least {least}, not {value}"):
            KID(Values(), **{name: value})
