"""Exact p_g against closed forms, and against fine grids in probability."""

import copy
import math
import time

import numpy as np
import pytest
import torch
from torch import nn

from gan_research.losses.divergences import jsd
from gan_research.networks import MLPGenerator
from gan_research.sampling.priors import GaussianPrior, UniformPrior
from gan_research.theory.generator_density import (
    bin_masses,
    data_masses,
    data_masses_2d,
    expected_jsd,
    histogram_2d,
    trace,
)
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

GAUSSIAN, UNIFORM = GaussianPrior(1), UniformPrior(1)
EDGES = torch.linspace(-3, 3, 401, dtype=torch.float64)
BEYOND_4 = 3.167124183311992e-05
"""P(Z > 4)"""
ANYWHERE = (-math.inf, math.inf)


def net(seed, width=64, scale=3.0):
    """A ReLU network that folds: its weights are `scale` times those that it starts with."""
    torch.manual_seed(seed)
    generator = MLPGenerator(1, SampleSpec(None, 1, value_range=ANYWHERE), width=width)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.mul_(scale)
    return generator


def normal(points, mean=0.0, std=1.0):
    """log N(mean, std^2) of points (N, 1)."""
    return torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), std).log_prob(points)[:, 0]


def density(generator, prior, points):
    """p_g at increasing points (N,), by change of variables: the sum over branches of p_z(z_k) / |G'(z_k)|."""
    curve = trace(generator, prior)
    _, level, latents, _ = curve.crossings(points)
    (slopes,) = torch.autograd.grad(curve.call(latents.requires_grad_()).sum(), latents)
    return torch.zeros_like(points).index_add_(0, level, prior.log_prob(latents.detach()).exp() / slopes.abs())


NET = net(1)
MAPS = {
    "affine": lambda z: 0.5 * z - 1,
    "decreasing": lambda z: 1 - z,
    "half square": lambda z: z.square() / 2,
    "modulus": torch.abs,
    "sine of 5": lambda z: torch.sin(5 * z),
    "cubic": lambda z: z**3 - z,
    "relu": torch.relu,
    "relu of sine": lambda z: torch.relu(torch.sin(5 * z)),
    "saturated": lambda z: torch.tanh(20 * z),
    "constant": lambda z: torch.full_like(z, 0.3),
    **{f"net {seed}": net(seed, width=32) for seed in range(3)},
    "net as it starts": net(3, width=32, scale=1.0),
}


@pytest.mark.parametrize("prior", [GAUSSIAN, UNIFORM], ids=["gaussian", "uniform"])
@pytest.mark.parametrize("name", MAPS)
def test_masses_are_those_of_a_fine_grid_in_probability(name, prior):
    generator = MAPS[name]
    found = bin_masses(generator, prior, EDGES)
    n = 500_000
    latents = prior.quantile((torch.arange(n, dtype=torch.float64) + 0.5) / n)[:, None]
    if isinstance(generator, nn.Module):
        generator = copy.deepcopy(generator).double()
    with torch.no_grad():
        points = torch.cat([generator(part) for part in latents.split(20_000)])[:, 0]
    counts = torch.bincount(torch.searchsorted(EDGES, points, right=True), minlength=len(EDGES) + 1)
    assert abs(found.all.sum().item() - 1) < 1e-9
    torch.testing.assert_close(found.all, counts / n, rtol=0, atol=1e-5, check_dtype=False)


def test_gaussian_in_closed_form():
    """G = a z + b: N(b, a^2)."""
    found = bin_masses(lambda z: -0.5 * z + 1, GAUSSIAN, EDGES)
    torch.testing.assert_close(found.masses, torch.special.ndtr((EDGES - 1) / 0.5).diff(), rtol=0, atol=2e-9)
    assert found.above == pytest.approx(BEYOND_4, abs=2e-9)


def test_half_square_sums_to_1_where_a_density_on_a_grid_does_not():
    edges = torch.linspace(0, 10, 501, dtype=torch.float64)
    found = bin_masses(lambda z: z.square() / 2, GAUSSIAN, edges)
    torch.testing.assert_close(found.masses, torch.erf(edges.sqrt()).diff(), rtol=0, atol=1e-6)
    points = torch.linspace(-2, 10, 500, dtype=torch.float64)
    naive = density(lambda z: z.square() / 2, GAUSSIAN, points).sum() * (points[1] - points[0])
    assert naive.item() == pytest.approx(0.893, abs=2e-3)  # by how much it is wrong depends on the grid


@pytest.mark.parametrize(
    ("generator", "atoms"),
    [
        (lambda z: torch.full_like(z, 0.3), [(0.3, 1.0)]),
        (torch.relu, [(0.0, 0.5)]),
        (lambda z: z.clamp(-1, 2), [(-1.0, 0.15865525), (2.0, 0.02275013)]),
        (lambda z: torch.relu(torch.sin(5 * z)), [(0.0, 0.5)]),  # many pieces, one atom
        (lambda z: z.square(), []),
        (torch.sin, []),
    ],
)
def test_atoms(generator, atoms):
    found = bin_masses(generator, GAUSSIAN, EDGES)
    assert len(found.atoms) == len(atoms)
    for (x, mass), (true_x, true_mass) in zip(found.atoms, atoms, strict=True):
        assert x == pytest.approx(true_x, abs=1e-9)
        assert mass == pytest.approx(true_mass, abs=1e-5)
        bin_ = torch.searchsorted(EDGES, torch.tensor(x, dtype=torch.float64), right=True) - 1
        assert found.masses[bin_].item() >= mass - 1e-9


def test_change_of_variables_against_closed_forms():
    points = torch.linspace(0.05, 4, 50, dtype=torch.float64)
    chi = torch.exp(-points) / (math.pi * points).sqrt()  # of z^2/2: Gamma(1/2, 1)
    torch.testing.assert_close(density(lambda z: z.square() / 2, GAUSSIAN, points), chi, rtol=1e-9, atol=0)
    points = torch.linspace(-0.9, 0.9, 50, dtype=torch.float64)
    arcsine = 1 / (math.pi * (1 - points.square()).sqrt())
    turns = density(lambda z: torch.sin(2 * math.pi * z), UNIFORM, points)
    torch.testing.assert_close(turns, arcsine, rtol=1e-7, atol=0)


def test_density_of_a_network_is_its_masses_over_width():
    edges = torch.linspace(-3, 3, 20_001, dtype=torch.float64)
    found = bin_masses(NET, GAUSSIAN, edges)
    heights = found.masses / edges.diff()
    differ = (density(NET, GAUSSIAN, found.centers) - heights).abs() > 1e-3 * heights
    assert differ.double().mean().item() < 0.01  # those with a kink inside


def test_training_is_left_alone():
    body = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)).train()
    body(torch.randn(16, 1))
    state, random = copy.deepcopy(body.state_dict()), torch.get_rng_state()
    first = bin_masses(body, GAUSSIAN, EDGES)
    assert body.training
    assert all(torch.equal(value, state[name]) for name, value in body.state_dict().items())
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in body.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(first.masses, bin_masses(body, GAUSSIAN, EDGES).masses)


def test_fast_enough_for_a_film():
    generator = NET
    times = []
    for _ in range(5):
        start = time.process_time()
        bin_masses(generator, GAUSSIAN, EDGES)
        times.append(time.process_time() - start)
    assert min(times) < 0.1  # about 0.01 on an idle core


def test_what_does_not_fit_is_said():
    with pytest.raises(UserError, match=r"prior.latent_dim=2: set prior.latent_dim=1 data=gaussian_1d"):
        bin_masses(lambda z: z, GaussianPrior(2), EDGES)
    with pytest.raises(UserError, match="one dimension, and the generator returns 2"):
        bin_masses(lambda z: z.expand(-1, 2), GAUSSIAN, EDGES)
    with pytest.raises(UserError, match="diverged"):
        bin_masses(lambda z: z / 0, GAUSSIAN, EDGES)


def test_data_masses():
    edges = torch.linspace(-2, 3, 51, dtype=torch.float64)
    found = data_masses(lambda x: normal(x, 1.0, 0.5), edges)
    torch.testing.assert_close(found.masses, torch.special.ndtr((edges - 1) / 0.5).diff(), rtol=0, atol=1e-12)
    assert found.above == pytest.approx(BEYOND_4, abs=1e-9)
    with pytest.raises(UserError, match="more bins"):
        data_masses(lambda x: normal(x, 0.05, 1e-4), edges)


def test_jsd_of_bins_rises_to_that_of_the_densities():
    """N(0, 1) against N(1, 1): 0.11142148, by quadrature in log space."""
    divergences = []
    for bins in (1, 4, 16, 64, 400):
        edges = torch.linspace(-6, 7, bins + 1, dtype=torch.float64)
        divergences.append(jsd(data_masses(normal, edges).all, bin_masses(lambda z: z + 1, GAUSSIAN, edges).all).item())
    assert divergences == sorted(divergences)
    assert divergences[-1] == pytest.approx(0.11142148, abs=3e-5)
    assert divergences[-1] <= 0.11142148
    assert divergences[0] < 0.01


def test_histogram_in_two_dimensions():
    bounds, n = ((-4.0, 4.0), (-3.0, 3.0)), 200_000
    random = torch.Generator().manual_seed(0)
    points = torch.randn(n, 2, generator=random) * torch.tensor([1.0, 0.5])

    def log_prob(x):
        return normal(x[:, :1]) + normal(x[:, 1:], 0.0, 0.5)

    found, exact = histogram_2d(points, bounds, 25), data_masses_2d(log_prob, bounds, 25)
    counts, _, _ = np.histogram2d(*points.double().numpy().T, bins=25, range=bounds)
    np.testing.assert_allclose(found[:-1].numpy() * n, counts.flatten(), rtol=1e-12)
    one = torch.special.ndtr(torch.linspace(-4, 4, 26, dtype=torch.float64)).diff()
    other = torch.special.ndtr(torch.linspace(-6, 6, 26, dtype=torch.float64)).diff()
    torch.testing.assert_close(exact[:-1], torch.outer(one, other).flatten(), rtol=0, atol=1e-7)
    full = exact > 1e-3
    scores = ((found - exact) / (found * (1 - found) / n).sqrt())[full]
    assert scores.square().mean().item() == pytest.approx(1, abs=0.3)
    floor = expected_jsd(exact, n)
    assert jsd(exact, found).item() == pytest.approx(floor, rel=0.2)


@pytest.mark.parametrize(("n", "bins"), [(30, 20), (100, 20), (10_000, 20), (1000, 1000)])
def test_expected_jsd_of_perfect_samples(n, bins):
    p = torch.full((bins,), 1 / bins, dtype=torch.float64)
    random = np.random.default_rng(0)
    counts = torch.from_numpy(random.multinomial(n, np.full(bins, 1 / bins), size=1000))
    drawn = [jsd(p, row / n).item() for row in counts]
    error = 4 * np.std(drawn) / len(drawn) ** 0.5
    found = expected_jsd(p, n)
    assert found == pytest.approx(np.mean(drawn), abs=error)
    if n >= 100 * bins:
        assert found == pytest.approx((bins - 1) / (8 * n), rel=0.02)
