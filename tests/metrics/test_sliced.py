"""The sliced Wasserstein distance: exact on the line, and as theory has it in the plane."""

import math

import pytest
import scipy.stats
import torch

from gan_research.metrics import Values

METRIC = ["sliced_wasserstein"]


def normal(n, dim, seed):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shift", [0.0, 3.0, -0.75])
def test_a_shift_on_the_line_is_its_length(shift, score):
    fake = torch.randint(-99, 99, (40, 1), generator=torch.Generator().manual_seed(0)) / 8
    real = (fake + shift).flip(0)
    found = score(Values(), METRIC, fake, torch.cat([real, real + 2]), in_order=True, batch_size=9)
    assert found == {"sliced_wasserstein": abs(shift), "sliced_wasserstein_perfect": 2.0}


def test_on_the_line_it_is_that_of_scipy(score):
    fake, real = normal(300, 1, 0).float(), normal(600, 1, 1).float() * 2
    found = score(Values(), METRIC, fake, real, in_order=True)
    first, second = real[:300, 0].numpy(), real[300:, 0].numpy()
    assert found["sliced_wasserstein"] == pytest.approx(
        scipy.stats.wasserstein_distance(fake[:, 0].numpy(), first), rel=1e-6
    )
    assert found["sliced_wasserstein_perfect"] == pytest.approx(
        scipy.stats.wasserstein_distance(second, first), rel=1e-6
    )


def test_a_shift_in_the_plane_is_its_mean_projection(score):
    # E |cos t| = 2 / pi; over 128 random directions its standard error is 0.308 / sqrt(128) = 0.027.
    fake = normal(200, 2, 0).float()
    real = fake + torch.tensor([3.0, 4.0])
    found = score(Values(), METRIC, fake, torch.cat([real, real]), in_order=True)
    assert found["sliced_wasserstein"] == pytest.approx(5 * 2 / math.pi, abs=5 * 3 * 0.027)
    assert found["sliced_wasserstein_perfect"] == 0
    assert score(Values(), METRIC, fake, torch.cat([real, real]), in_order=True, batch_size=7) == found
    few = score(Values(), METRIC, fake, torch.cat([real, real]), settings={"sliced_wasserstein": {"projections": 7}})
    assert few["sliced_wasserstein"] != found["sliced_wasserstein"]
