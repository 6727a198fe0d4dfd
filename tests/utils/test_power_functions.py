"""Averages of power functions of the time: their profiles, and others that are reconstructed from them."""

import math

import pytest
import torch

from gan_research.training.ema import PowerEMA
from gan_research.utils.errors import UserError
from gan_research.utils.power_functions import LARGEST, coefficients, decay_at, exponent, require_profile

STORED = (0.05, 0.1)


@pytest.mark.parametrize(("sigma", "gamma"), [(0.05, 16.972), (0.10, 6.937), (0.01, 96.995)])
def test_the_exponent_of_a_profile(sigma, gamma):
    assert exponent(sigma) == pytest.approx(gamma, abs=1e-3)


@pytest.mark.parametrize("sigma", [1e-3, 0.02, 0.2, 0.288])
def test_a_profile_is_the_standard_deviation_of_the_weights(sigma):
    """Of t / T under the density (gamma + 1) t^gamma / T^(gamma + 1)."""
    gamma = exponent(sigma)
    mean, square = (gamma + 1) / (gamma + 2), (gamma + 1) / (gamma + 3)
    assert gamma > 0
    assert math.sqrt(square - mean**2) == pytest.approx(sigma, rel=1e-6)


@pytest.mark.parametrize("sigma", [0, -0.1, LARGEST, 1, math.nan])
def test_other_profiles_are_refused(sigma):
    with pytest.raises(UserError, match=r"above 0 and below 0\.2887"):
        require_profile(sigma, "--ema")


@pytest.fixture(scope="module")
def trained():
    """Averages by several profiles of theta_t = (t, sin t / 300), every 200 of 20,000 rounds."""
    ema = PowerEMA(profiles=(*STORED, 0.03, 0.07, 0.15, 0.2))
    theta, snapshots = torch.zeros(2, dtype=torch.float64), {}
    averages = [torch.full((2,), 1e6, dtype=torch.float64) for _ in ema.profiles]
    for t in range(1, 20_001):
        theta[0], theta[1] = t, math.sin(t / 300)
        ema.after_round([([average], []) for average in averages], ([theta], []), t, 64, 64 * t)
        if t % 200 == 0:
            snapshots[t] = dict(zip(ema.profiles, [average.clone() for average in averages], strict=True))
    return snapshots


def test_the_average_of_the_time(trained):
    """Of theta_t = t: T (gamma + 1) / (gamma + 2), whatever the average was before."""
    last = trained[20_000]
    assert last[0.05][0].item() / 20_000 == pytest.approx(0.947316, abs=1e-6)
    for sigma, average in last.items():
        mean = (exponent(sigma) + 1) / (exponent(sigma) + 2)
        assert average[0].item() / 20_000 == pytest.approx(mean, abs=5e-5)
    assert decay_at(1, exponent(0.05)) == 0


@pytest.mark.parametrize("sigma", [0.03, 0.07, 0.15, 0.2])
@pytest.mark.parametrize("at", [20_000, 12_000])
def test_a_reconstruction_equals_the_average(sigma, at, trained):
    snapshots = [(t, stored) for t in trained if t <= at for stored in STORED]
    found, error = coefficients(snapshots, at, sigma)
    assert error < 5e-3
    assert found.sum() == pytest.approx(1, abs=1e-9)
    total = sum(factor * trained[t][stored] for factor, (t, stored) in zip(found, snapshots, strict=True))
    expected = trained[at][sigma]
    assert (total / expected - 1).abs().max().item() < 1e-3
    nearest = min(STORED, key=lambda stored: abs(stored - sigma))
    assert (trained[at][nearest] / expected - 1).abs().min().item() > 4e-3  # it isn't one of those kept


def test_an_average_that_is_kept_is_its_own_reconstruction():
    found, error = coefficients([(100, 0.05), (100, 0.1), (200, 0.05), (200, 0.1)], 200, 0.1)
    assert found.tolist() == pytest.approx([0, 0, 0, 1], abs=1e-9)
    assert error < 1e-6


def test_too_few_snapshots_have_a_large_error():
    assert coefficients([(1000, 0.05), (1000, 0.1)], 1000, 0.25)[1] > 0.3
