"""How strongly each loss pulls a generator that its discriminator rejects."""

import math
from functools import partial

import pytest
import torch

from gan_research import losses as L
from gan_research.data import Gaussian
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior
from gan_research.theory.saturation import measured, pull
from gan_research.utils.sample_spec import SampleSpec

LOGITS = torch.linspace(-10, 10, 41, dtype=torch.float64)
SIGMOID = LOGITS.sigmoid()
RELATIVISTIC = L.Relativistic(L.NonSaturating())
# loss: the closed form of its gradient, and whether its logits are log-odds
GRADIENTS = {
    "minimax": (L.Minimax(), -SIGMOID, True),
    "non_saturating": (L.NonSaturating(), SIGMOID - 1, True),
    "least_squares": (L.LeastSquares(), LOGITS - 1, False),
    "hinge": (L.Hinge(), -torch.ones_like(LOGITS), False),
    "wasserstein": (L.Wasserstein(), -torch.ones_like(LOGITS), False),
    "relativistic": (RELATIVISTIC, SIGMOID - 1, False),
    "reverse_kl, minimax": (L.ReverseKL("minimax"), -torch.ones_like(LOGITS), False),
    "kl, minimax": (L.KL("minimax"), -(LOGITS - 1).exp(), False),
    "relativistic average": (L.RelativisticAverage(L.NonSaturating()), 2 * (SIGMOID - 1), False),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_pull_is_the_closed_form(name):
    loss, gradients, logits_are_log_odds = GRADIENTS[name]
    found = pull(loss, LOGITS.float())
    torch.testing.assert_close(found.gradients, gradients, rtol=1e-9, atol=1e-12)
    assert (found.real_logit == 0.0) if loss.needs_real else (found.real_logit is None)
    if logits_are_log_odds:
        torch.testing.assert_close(found.probabilities, SIGMOID)
    else:
        assert found.probabilities is None


def test_pull_against_reals_of_another_logit():
    found = pull(RELATIVISTIC, LOGITS, real_logit=2.0)
    assert found.real_logit == 2.0
    torch.testing.assert_close(found.gradients, (LOGITS - 2).sigmoid() - 1, rtol=1e-9, atol=1e-12)


def far_from_the_data(losses, **arguments):
    """`measured`, of fresh players of width 32 on N(4, 0.5^2)."""
    torch.manual_seed(0)
    return measured(
        losses,
        MLPGenerator(1, SampleSpec(None, 1, value_range=(-math.inf, math.inf)), width=32),
        MLPDiscriminator(SampleSpec(None, 1), width=32),
        GaussianPrior(1),
        Gaussian(4.0, 0.5).sample,
        partial(torch.optim.Adam, lr=5e-3),
        **arguments,
    )


def test_the_minimax_gradient_vanishes_as_the_discriminator_gets_better():
    """Arjovsky & Bottou 2017, section 2.1; the non-saturating gradient doesn't."""
    losses = {"minimax": L.Minimax(), "non_saturating": L.NonSaturating(), "relativistic": RELATIVISTIC}
    rows = far_from_the_data(losses)
    assert [row.steps for row in rows] == [0, 25, 100, 400]
    assert rows[0].value == pytest.approx(-math.log(4), abs=0.2)
    assert rows[-1].value == pytest.approx(0, abs=1e-3)
    assert rows[-1].rejection == pytest.approx(0, abs=1e-3)
    minimax = [row.norms["minimax"] for row in rows[1:]]
    assert minimax == sorted(minimax, reverse=True)
    assert minimax[-1] < minimax[0] / 30
    for name in ("non_saturating", "relativistic"):
        assert rows[-1].norms[name] > 1000 * minimax[-1]
        assert rows[-1].norms[name] > rows[1].norms[name]
    assert far_from_the_data(losses, checkpoints=(0, 25))[1] == rows[1]
