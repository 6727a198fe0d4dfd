"""Proposition 1 and theorem 1 of Goodfellow et al. 2014, and every loss's best logit, found numerically."""

import math

import pytest
import torch

from gan_research import losses as L
from gan_research.networks import MLPGenerator
from gan_research.sampling.priors import GaussianPrior, UniformPrior
from gan_research.theory.optimum import (
    pointwise_optimum,
    proposition_1,
    unconscious_statistician,
    value,
    value_at_optimum,
    value_from_cross_entropy,
    value_of_densities,
)
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

POINTWISE = {
    "minimax": L.Minimax(),
    "non_saturating": L.NonSaturating(),
    "least_squares": L.LeastSquares(),
    "least_squares of other codes": L.LeastSquares(a=-1.0, b=1.0, c=0.0),
    "kl": L.KL(),
    "reverse_kl": L.ReverseKL(),
    "pearson_chi2": L.PearsonChi2(),
    "squared_hellinger": L.SquaredHellinger(),
    "gan_divergence": L.GANDivergence(),
    "jensen_shannon": L.JensenShannon(),
    "alpha -1": L.Alpha(-1.0),
    "alpha 0.5": L.Alpha(0.5),
    "alpha 2": L.Alpha(2.0),
}
SETS = {"hinge": L.Hinge(), "total_variation": L.TotalVariation()}


def normal(mean, std=1.0):
    return lambda x: torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), std).log_prob(x)[:, 0]


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.5), (0.2, 0.8), (1.0, 1e-3), (3.0, 4.0), (1e-3, 5.0)])
def test_proposition_1(a, b):
    result = proposition_1(a, b)
    assert result.found == pytest.approx(a / (a + b), abs=1e-9)
    assert result.predicted == a / (a + b)
    torch.testing.assert_close(result.values, a * result.ys.log() + b * (-result.ys).log1p())
    best = a * math.log(result.predicted) + b * math.log1p(-result.predicted)
    assert best - 1e-2 * (a + b) < result.values.max().item() <= best


def test_proposition_1_of_no_masses():
    with pytest.raises(UserError, match="not both 0"):
        proposition_1(0, 0)


@pytest.mark.parametrize("name", POINTWISE)
def test_best_logit_is_the_one_of_the_theory(name):
    loss = POINTWISE[name]
    p, q = torch.tensor([[1e-3, 0.1, 0.3, 0.5, 0.999], [0.999, 0.3, 0.3, 0.1, 1e-3]], dtype=torch.float64)
    torch.testing.assert_close(pointwise_optimum(loss, p, q), loss.theory().optimal_logit(p, q), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", [*POINTWISE, *SETS])
def test_the_value_over_the_densities_is_the_highest_of_any_discriminator(name):
    """The surface: for one x, no numerical optimum is above it, and it is proportional along each ray of equal D*."""
    loss = (POINTWISE | SETS)[name]
    p, q = torch.meshgrid(*(torch.tensor([0.1, 0.35, 0.8], dtype=torch.float64),) * 2, indexing="ij")
    values, logits = value_at_optimum(loss, p, q)
    found = pointwise_optimum(loss, p.flatten(), q.flatten()).view(3, 3)
    highest = -(p * loss.real_term(found) + q * loss.fake_term(found))
    torch.testing.assert_close(values, highest, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(value_at_optimum(loss, 0.5 * p, 0.5 * q), (0.5 * values, logits))
    if name == "minimax":
        torch.testing.assert_close(logits.sigmoid(), p / (p + q))


@pytest.mark.parametrize("name", SETS)
def test_best_logits_of_a_set_are_as_good_as_the_theory_says(name):
    loss = SETS[name]
    p, q = torch.tensor([[0.1, 0.2, 0.7], [0.5, 0.2, 0.3]], dtype=torch.float64)
    logits = pointwise_optimum(loss, p, q)
    torch.testing.assert_close(-loss.expected("discriminator", logits, p, q), loss.theory().value(p, q))


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (L.Wasserstein(), "metric"),
        (L.Relativistic(L.NonSaturating()), "shift"),
        (L.RelativisticAverage(L.NonSaturating()), "numeric"),
    ],
)
def test_losses_without_a_pointwise_optimum_say_so(loss, kind):
    with pytest.raises(UserError, match=f"of kind {kind}: choose a loss of kind pointwise"):
        pointwise_optimum(loss, torch.ones(1), torch.ones(1))


def test_value_is_minus_twice_the_cross_entropy():
    real, fake = torch.randn(2, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    by_hand = real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(value(real, fake), by_hand)
    torch.testing.assert_close(value_from_cross_entropy(real, fake), by_hand)
    assert value(torch.zeros(3), torch.zeros(3)).item() == pytest.approx(-math.log(4))
    with pytest.raises(UserError, match="equal numbers"):
        value_from_cross_entropy(real, fake[:50])


@pytest.mark.parametrize(
    ("mean", "jsd"), [(0.0, 0.0), (0.5, 0.0303113), (1.0, 0.11142148), (2.0, 0.33683082), (4.0, 0.63272019)]
)
def test_value_at_the_optimum_is_twice_the_jsd_less_log_4(mean, jsd):
    """JSD(N(0, 1) || N(mean, 1)), by quadrature in log space."""
    value, found = value_of_densities(normal(0.0), normal(mean), (-12, 16))
    assert found == pytest.approx(jsd, abs=1e-8)
    assert value == pytest.approx(2 * jsd - math.log(4), abs=1e-7)
    assert value == pytest.approx(2 * found - math.log(4), abs=1e-12)


def test_value_of_densities_without_common_support():
    def uniform(low):
        return lambda x: torch.where((x >= low) & (x < low + 1), 0.0, -math.inf)[:, 0].double()

    value, jsd = value_of_densities(uniform(0.0), uniform(1.0), (-1, 3))
    assert (value, jsd) == pytest.approx((0, math.log(2)), abs=1e-9)


@pytest.mark.parametrize("prior", [GaussianPrior(1), UniformPrior(1)], ids=["gaussian", "uniform"])
@pytest.mark.parametrize("name", ["affine", "half square", "network"])
def test_unconscious_statistician(name, prior):
    torch.manual_seed(0)
    network = MLPGenerator(1, SampleSpec(None, 1, value_range=(-math.inf, math.inf)), width=32)
    generator = {"affine": lambda z: 0.5 * z + 1, "half square": lambda z: z.square() / 2, "network": network}[name]
    edges = torch.linspace(-8, 24, 320_001, dtype=torch.float64)
    over_latents, over_points = unconscious_statistician(generator, prior, torch.cos, edges)
    assert over_latents == pytest.approx(over_points, abs=1e-6)
    if name == "affine" and isinstance(prior, GaussianPrior):  # E cos x = exp(-std^2 / 2) cos(mean)
        assert over_latents == pytest.approx(math.exp(-0.125) * math.cos(1), abs=1e-7)
    with pytest.raises(UserError, match="widen the edges"):
        unconscious_statistician(generator, prior, torch.cos, edges + 30)
