"""Each known density integrates to 1, and its samples follow it."""

import itertools
import math

import pytest
import torch
from hydra.utils import instantiate

from gan_research.checkpoints.rebuild import describe
from gan_research.data import Checkerboard, Gaussian, GaussianMixture, Grid, Mixture1D, Ring, SwissRoll
from gan_research.data.densities import TAIL
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for

SKEW = [[0.0, 0.0], [3.0, -1.0], [0.5, 2.0]], [[0.5, 0.2], [0.3, 0.3], [0.1, 0.6]], [1.0, 2.0, 5.0]
DENSITIES = {
    "gaussian": Gaussian(),
    "mixture": Mixture1D(),
    "uneven mixture": Mixture1D([-2.0, 0.0, 5.0], [0.1, 0.5, 1.5], [3.0, 1.0, 2.0]),
    "skew mixture": GaussianMixture(*SKEW),
    "ring": Ring(),
    "ring of 25": Ring(25),
    "narrow ring": Ring(8, 1.0, 0.01),
    "grid": Grid(),
    "swiss roll": SwissRoll(),
    "swiss roll through 0": SwissRoll(0.0, 1.2, 1.0, 0.3),
    "checkerboard": Checkerboard(),
    "wide checkerboard": Checkerboard(3.3),
}
every = pytest.mark.parametrize("density", DENSITIES.values(), ids=DENSITIES)
SMOOTH = {name: d for name, d in DENSITIES.items() if isinstance(d, GaussianMixture)}


def middles(low, high, count, dtype=torch.float64):
    step = (high - low) / count
    return low + step * (torch.arange(count, dtype=dtype) + 0.5)


def cell_masses(density, bins, fine):
    """The masses (bins, ...) of the cells of the bounds, by the midpoint rule on fine^dim points a cell."""
    axes = [middles(*bound, bins * fine) for bound in density.bounds]
    area = math.prod((high - low) / (bins * fine) for low, high in density.bounds)
    if density.dim == 1:
        return density.log_prob(axes[0][:, None]).exp().view(bins, fine).sum(1) * area
    rows = [
        density.log_prob(torch.cartesian_prod(part, axes[1])).exp().view(fine, bins, fine).sum((0, 2))
        for part in axes[0].split(fine)
    ]
    return torch.stack(rows) * area


def binned(density, points, bins):
    """How many of the points lie in each cell."""
    bounds = [value for bound in density.bounds for value in bound]
    return torch.histogramdd(points.double(), [bins] * density.dim, range=bounds)[0]


# --- the density --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("density", SMOOTH.values(), ids=SMOOTH)
def test_a_mixture_integrates_to_one_over_its_bounds(density):
    # the midpoint rule is exact to 1e-8 for Gaussians of at least one step; the bounds leave out at most TAIL
    steps = max((high - low) for low, high in density.bounds) / density.stds.min()
    mass = cell_masses(density, 1, math.ceil(steps)).sum().item()
    assert 1 - 1.1 * TAIL < mass < 1 + 1e-8


def polar(density, radii, angles):
    """The integral in rings, each point weighed by its radius: smooth where the cartesian one has a pole."""
    r, t = radii.repeat(len(angles)), angles.repeat_interleave(len(radii))
    return (density.log_prob(torch.stack([r * t.cos(), r * t.sin()], 1)).exp() * r).sum()


@pytest.mark.parametrize("name", ["swiss roll", "swiss roll through 0"])
def test_a_swiss_roll_integrates_to_one(name):
    density = DENSITIES[name]
    turns = 40 * 8  # no cell straddles the angle at which a turn begins or ends: multiples of 1/20
    far = density.scale * (density.stop + 8 * density.std)
    total = polar(density, middles(0, far, 2000), middles(0, 2 * math.pi, turns)) * far / 2000 * 2 * math.pi / turns
    assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("half_width", [2.0, 3.3])
def test_a_checkerboard_is_uniform_on_eight_squares(half_width):
    density = Checkerboard(half_width)
    masses = cell_masses(density, 4, 3)
    squares = torch.tensor([[(i + j) % 2 == 0 for j in range(4)] for i in range(4)])
    assert torch.allclose(masses, squares.double() / 8, atol=1e-12)
    side = half_width / 2
    outside = torch.tensor([[2.5, 0.5], [-2.5, 0.5], [0.5, 2.5], [2.0, 2.0], [0.5, 1.5]]) * side
    assert density.log_prob(outside).tolist() == [-math.inf] * 5
    assert density.log_prob(torch.tensor([[0.5 * side, 0.5 * side]])).item() == pytest.approx(-math.log(8 * side**2))


def test_a_mixture_is_the_sum_of_its_components():
    means, stds, weights = SKEW
    points = torch.tensor([[0.1, -0.2], [2.5, -1.1], [1.0, 4.0]], dtype=torch.float64)
    expected = torch.zeros(3, dtype=torch.float64)
    for mean, std, weight in zip(means, stds, weights, strict=True):
        normal = torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(std).double())
        expected += weight / 8 * normal.log_prob(points).sum(1).exp()
    assert torch.allclose(GaussianMixture(*SKEW).log_prob(points), expected.log(), rtol=1e-7)


def test_a_gaussian_far_out_is_finite():
    expected = -0.5 * 200.0**2 - math.log(0.5 * math.sqrt(2 * math.pi))
    assert Gaussian(0.0, 0.5).log_prob(torch.tensor([[100.0]])).item() == pytest.approx(expected, rel=1e-6)


def test_known_modes():
    assert torch.allclose(Ring(4, 3.0).means, torch.tensor([[3.0, 0], [0, 3], [-3, 0], [0, -3]]).double(), atol=1e-12)
    ticks = [-4.0, -2.0, 0.0, 2.0, 4.0]
    assert sorted(Grid().means.tolist()) == sorted([x, y] for x in ticks for y in ticks)
    assert Grid(2, 1.0).means.tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    uneven = DENSITIES["uneven mixture"]
    assert uneven.weights.tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert uneven.stds.tolist() == [[0.1], [0.5], [1.5]]
    assert Ring().stds.shape == Ring().means.shape == (8, 2)


def test_which_metrics_suit():
    suited = {type(d).__name__: type(d).metrics for d in DENSITIES.values()}
    assert {name for name, metrics in suited.items() if metrics == "modes"} == {
        "GaussianMixture", "Mixture1D", "Ring", "Grid",
    }  # fmt: skip
    assert set(suited.values()) == {"modes", "points"}


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_keeps_dtype_and_shape(density, dtype):
    points = density.sample(50, generator_for(0, "test")).to(dtype)
    log_prob = density.log_prob(points)
    assert (log_prob.dtype, log_prob.shape) == (dtype, (50,))
    assert torch.isfinite(log_prob).all()
    assert torch.allclose(log_prob.double(), density.log_prob(points.double()), atol=1e-3)
    with pytest.raises(ValueError, match=rf"points \(N, {density.dim}\), not \(5, 3\)"):
        density.log_prob(torch.zeros(5, 3))


# --- samples ------------------------------------------------------------------------------------------------------


@every
def test_samples_follow_the_density(density):
    """Pearson's chi-squared over the cells of the bounds, those of fewer than 5 expected samples taken together."""
    n = 50_000
    points = density.sample(n, generator_for(1, "test"))
    assert points.shape == (n, density.dim)
    assert points.dtype == torch.float32
    bins, fine = (200, 50) if density.dim == 1 else (48, 16)
    expected, seen = n * cell_masses(density, bins, fine), binned(density, points, bins)
    full = expected >= 5
    rest_expected, rest_seen = n - expected[full].sum(), n - seen[full].sum()
    chi = ((seen - expected).square() / expected)[full].sum()
    freedom = int(full.sum()) - 1
    assert freedom >= 7
    assert abs(chi - freedom) < 5 * math.sqrt(2 * freedom)
    assert abs(rest_seen - rest_expected) < 6 + 6 * rest_expected.clamp_min(0).sqrt()


@pytest.mark.parametrize("density", SMOOTH.values(), ids=SMOOTH)
def test_moments_of_mixtures(density):
    """Means and second moments, each within 5 of its standard errors."""
    n = 50_000
    points = density.sample(n, generator_for(2, "test")).double()
    for i, j in itertools.combinations_with_replacement(range(-1, density.dim), 2):
        left, right = (points[:, k] if k >= 0 else torch.ones(n) for k in (i, j))
        means = [density.means[:, k] if k >= 0 else torch.ones(len(density.means)) for k in (i, j)]
        within = density.stds[:, i].square() if i == j >= 0 else 0
        exact = (density.weights * (means[0] * means[1] + within)).sum()
        product = left * right
        assert abs(product.mean() - exact) <= 5 * product.std() / math.sqrt(n) + 1e-9


def test_the_mean_log_probability_of_a_gaussian_is_minus_its_entropy():
    points = Gaussian().sample(100_000, generator_for(3, "test"))
    entropy = math.log(0.5 * math.sqrt(2 * math.pi * math.e))
    assert Gaussian().log_prob(points).mean().item() == pytest.approx(-entropy, abs=5 * math.sqrt(0.5 / 100_000))


@every
def test_the_bounds_hold_the_samples(density):
    points = density.sample(20_000, generator_for(4, "test"))
    low, high = torch.tensor(density.bounds).T
    assert low.shape == (density.dim,)
    assert int(((points < low) | (points > high)).any(1).sum()) <= 2  # 0.02 expected
    assert bool((points.amin(0) < low + 0.25 * (high - low)).all())
    assert bool((points.amax(0) > high - 0.25 * (high - low)).all())


@every
def test_samples_are_a_function_of_the_generator_and_the_density_of_its_description(density):
    again = instantiate(describe(density))
    assert type(again) is type(density)
    assert again.bounds == density.bounds
    before = torch.get_rng_state()
    first = density.sample(100, generator_for(5, "test"))
    assert torch.equal(again.sample(100, generator_for(5, "test")), first)
    assert not torch.equal(density.sample(100, generator_for(6, "test")), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(again.log_prob(first), density.log_prob(first))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@every
def test_on_a_gpu(density):
    points = density.sample(20_000, generator_for(7, "test", device="cuda"))
    assert points.device.type == "cuda"
    log_prob = density.log_prob(points)
    assert log_prob.device == points.device
    assert torch.allclose(log_prob.cpu(), density.log_prob(points.cpu()), atol=1e-3)


# --- what can't be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianMixture([], 1.0), "means=[]: give a list of points"),
        (lambda: GaussianMixture([1.0, 2.0], 1.0), "means=[1.0, 2.0]: give a list of points"),
        (lambda: GaussianMixture([[1.0], [2.0, 3.0]], 1.0), "means=[[1.0], [2.0, 3.0]]: give numbers, and as many"),
        (lambda: GaussianMixture([[math.nan]], 1.0), "means=[[nan]] must be finite"),
        (lambda: GaussianMixture([["a"]], 1.0), "means=[['a']]: give numbers"),
        (lambda: Gaussian(std=0.0), "std=0.0: give one above 0"),
        (lambda: Mixture1D(std=[1.0, 1.0, 1.0]), "std=[1.0, 1.0, 1.0]: give one above 0 for all of the 2 means, or"),
        (lambda: Mixture1D(weights=[1.0]), "weights=[1.0]: give one above 0 for each of the 2 means"),
        (lambda: Mixture1D(weights=[1.0, 0.0]), "weights=[1.0, 0.0]: give one above 0"),
        (lambda: Ring(modes=0), "modes is 0: it has to be at least 1"),
        (lambda: Grid(side=0), "side is 0: it has to be at least 1"),
        (lambda: SwissRoll(start=2.0, stop=1.0), "start=2.0 and stop=1.0: give turns, 0 or more, the smaller"),
        (lambda: SwissRoll(std=-1.0), "std is -1.0: it has to be a positive number"),
        (lambda: Checkerboard(0.0), "half_width is 0.0: it has to be a positive number"),
    ],
)
def test_what_is_no_density_is_refused_in_one_line(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
