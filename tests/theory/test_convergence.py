"""Proposition 2 of Goodfellow et al. 2014 on finitely many states, for every loss that has a value in closed form."""

import math

import pytest
import torch

from gan_research import losses as L
from gan_research.losses.divergences import kl
from gan_research.theory.convergence import convexity, descend, envelope
from gan_research.utils.errors import UserError

SMOOTH = {
    "minimax": L.Minimax(),
    "non_saturating": L.NonSaturating(),
    "least_squares": L.LeastSquares(),
    "kl": L.KL(),
    "reverse_kl": L.ReverseKL(),
    "pearson_chi2": L.PearsonChi2(),
    "squared_hellinger": L.SquaredHellinger(),
    "jensen_shannon": L.JensenShannon(),
    "alpha": L.Alpha(),
    "relativistic": L.Relativistic(L.NonSaturating()),
    "relativistic least squares": L.Relativistic(L.LeastSquares()),
}
KINKED = {"hinge": L.Hinge(), "total_variation": L.TotalVariation(), "wasserstein": L.Wasserstein()}
ALL = SMOOTH | KINKED


def masses(seed, states=6):
    drawn = 0.05 + torch.rand(states, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.sum()


P, Q = masses(0), masses(1)


@pytest.mark.parametrize("name", ALL)
def test_the_value_is_convex_in_the_generators_masses(name):
    found = convexity(ALL[name], P, segments=16, points=17)
    assert found.shape == (16, 17)
    assert found.diff(n=2).min().item() >= -1e-12
    if name in SMOOTH:
        assert found.diff(n=2).min().item() > 1e-9  # strictly


@pytest.mark.parametrize("name", ALL)
def test_the_gradient_of_the_value_is_that_at_a_fixed_discriminator(name):
    total, partial = envelope(ALL[name], P, Q)
    assert (total - partial).abs().max().item() < 1e-12
    assert total.norm().item() > 1e-3


@pytest.mark.parametrize("name", SMOOTH)
def test_small_steps_descend_to_the_data(name):
    path = descend(SMOOTH[name], P, Q, steps=300)
    assert path.values.diff().max().item() <= 0
    assert path.values[-1].item() == pytest.approx(path.at_equality, abs=1e-9)
    assert path.jsds[-1].item() == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(path.q[-1], P, rtol=0, atol=1e-4)
    torch.testing.assert_close(path.q[0], Q, rtol=0, atol=0)


def test_minimax_descends_to_minus_log_4_by_whole_steps():
    path = descend(L.Minimax(), P, Q, steps=100)
    assert path.values[-1].item() == pytest.approx(-math.log(4), abs=1e-12)
    torch.testing.assert_close(path.values, 2 * path.jsds - math.log(4))
    # Near p the Hessian of 2 JSD, 1 / (2 p), is half of the entropy's: a step of 1 halves what is left of q - p.
    left = (path.q[5:15] - P).norm(dim=1)
    torch.testing.assert_close(left[1:] / left[:-1], torch.full((9,), 0.5, dtype=torch.float64), rtol=0, atol=0.02)


@pytest.mark.parametrize("name", KINKED)
def test_steps_down_a_kinked_value_come_nearer_to_the_data(name):
    path = descend(KINKED[name], P, Q, steps=300)
    distances = torch.stack([kl(P, q) for q in path.q])
    assert distances.diff().max().item() <= 1e-15
    start = path.values[0].item() - path.at_equality
    assert path.at_equality <= path.values.min().item() + 1e-12
    assert path.values.min().item() - path.at_equality < 0.03 * start


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "kl", "reverse_kl", "squared_hellinger", "relativistic"])
def test_the_generators_own_way_descends_what_its_theory_says(name):
    path = descend(SMOOTH[name], P, Q, follows="generator", steps=200, step=0.3)
    descended = torch.stack([SMOOTH[name].theory().descends(P, q) for q in path.q])
    assert descended.diff().max().item() <= 1e-14
    torch.testing.assert_close(path.q[-1], P, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["minimax", "non_saturating", "kl", "squared_hellinger", "relativistic"])
def test_the_generators_own_way_lowers_the_value_too_where_its_masses_are_free(name):
    path = descend(SMOOTH[name], P, Q, follows="generator", steps=200, step=0.1)
    assert path.values.diff().max().item() <= 1e-14


def test_in_a_family_the_non_saturating_way_raises_the_value():
    """A Gaussian between two modes, nearer to the small one: KL(q || p) - 2 JSD leads to that, the JSD away."""
    x = torch.linspace(-6, 6, 61, dtype=torch.float64)

    def gaussian(mean):
        return torch.softmax(-(x - mean).square() / 2, 0)

    def mode(mean):
        return torch.softmax(-(x - mean).square() / (2 * 0.7**2), 0)

    def descent(objective, steps, step):
        mean = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        for _ in range(steps):
            yield mean.item()
            mean = (mean - step * torch.autograd.grad(objective(gaussian(mean)), mean)[0]).detach().requires_grad_()

    def own(loss):
        return lambda q: loss.expected("generator", loss.theory().optimal_logit(p, q.detach()), p, q)

    def rises(functional, means):
        return torch.stack([functional(p, gaussian(mean)) for mean in means]).diff()

    p = 0.8 * mode(-2) + 0.2 * mode(2)
    minimax, other = L.Minimax().theory(), L.NonSaturating().theory()
    means = list(descent(lambda q: minimax.value(p, q), steps=150, step=1.0))
    assert rises(minimax.value, means).max().item() <= 1e-12
    assert means[-1] < -1
    assert list(descent(own(L.Minimax()), steps=150, step=1.0)) == pytest.approx(means)  # the envelope theorem
    means = list(descent(own(L.NonSaturating()), steps=150, step=0.1))
    assert means[-1] > 1.2
    assert rises(other.descends, means).max().item() <= 1e-12
    assert rises(other.value, means)[0].item() > 1e-4


@pytest.mark.parametrize("act", [convexity, descend, envelope])
def test_losses_without_a_value_say_so(act):
    loss = L.RelativisticAverage(L.NonSaturating())
    arguments = {convexity: (P,)}.get(act, (P, Q))
    with pytest.raises(UserError, match=r"RelativisticAverage has no value at D\* in closed form"):
        act(loss, *arguments)
