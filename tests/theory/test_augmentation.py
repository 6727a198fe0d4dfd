"""Augmentations on tables: ADA's leak, and D* and G's end under APA, label smoothing and noise."""

import math

import pytest
import torch

from gan_research import losses as L
from gan_research.losses.divergences import total_variation
from gan_research.theory.augmentation import (
    descend,
    noise,
    of_group,
    optimal_logit,
    plain,
    pseudo,
    smoothed,
    transformed,
)
from gan_research.theory.optimum import minimizer
from gan_research.utils.errors import UserError

P, Q = (torch.tensor(masses, dtype=torch.float64) for masses in ((0.7, 0.2, 0.1), (0.2, 0.3, 0.5)))
TURNED, START = (torch.tensor(m, dtype=torch.float64) for m in ((0.7, 0.15, 0.1, 0.05), (0.1, 0.2, 0.3, 0.4)))
NOISE = noise(torch.arange(3.0, dtype=torch.float64), 0.5)
VIEWS = {"none": plain(), "apa": pseudo(0.3), "smoothing": smoothed(0.1), "noise": transformed(NOISE)}
LOSSES = {"minimax": L.Minimax(), "non_saturating": L.NonSaturating(), "least_squares": L.LeastSquares()}


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_adas_operator_has_the_singular_values_1_and_1_minus_p(share):
    operator = of_group(share)
    found = torch.linalg.svdvals(operator).tolist()
    assert found == pytest.approx([1, 1 - share, 1 - share, 1 - share], abs=1e-12)
    turns = torch.stack([torch.eye(4, dtype=torch.float64).roll(turn, 0) for turn in range(4)])
    torch.testing.assert_close(operator, (1 - share) * turns[0] + share * turns.mean(0))


@pytest.mark.parametrize("operator", [NOISE, of_group(0.7)])
def test_operators_keep_the_mass(operator):
    torch.testing.assert_close(operator.sum(0), torch.ones(len(operator), dtype=torch.float64))
    assert operator.min() >= 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_free_generator_ends_at_the_data_unless_all_is_turned(loss):
    end, distances = descend(LOSSES[loss], transformed(of_group(0.5)), TURNED, START, steps=1500)
    torch.testing.assert_close(end, TURNED, rtol=0, atol=1e-3)
    assert distances[0] == pytest.approx(total_variation(TURNED, START).item()) == pytest.approx(0.6)
    assert distances[-1] == pytest.approx(total_variation(TURNED, end).item())
    assert len(distances) == 1501
    end, distances = descend(LOSSES[loss], transformed(of_group(1.0)), TURNED, START, steps=100)
    torch.testing.assert_close(end, START, rtol=0, atol=1e-9)  # any p_g is an equilibrium


def test_apas_optimal_logits_are_those_of_its_closed_form():
    found = optimal_logit(L.Minimax(), VIEWS["apa"], P, Q)
    assert found.tolist() == pytest.approx([1.011601, -0.265703, -0.820981], abs=1e-6)
    far = optimal_logit(L.Minimax(), pseudo(0.3), torch.full((1,), 1e-12), torch.ones(1))
    assert far.item() == pytest.approx(math.log(0.3), abs=1e-6)  # no fake is rejected completely


def test_smoothed_logits_are_those_that_the_penalty_of_label_smoothing_leads_to():
    """D minimises p softplus(-l) + q softplus(l) + s p l, as `LabelSmoothing` has it."""
    softplus = torch.nn.functional.softplus
    found = minimizer(lambda logit: P * softplus(-logit) + Q * softplus(logit) + 0.1 * P * logit, 3)
    torch.testing.assert_close(optimal_logit(L.Minimax(), VIEWS["smoothing"], P, Q), found, rtol=0, atol=1e-6)
    assert optimal_logit(L.Minimax(), smoothed(0.1), P[:1], 1e-12 * P[:1]).item() == pytest.approx(math.log(9))


def test_noise_between_gaussians_adds_its_variance():
    points = torch.linspace(-8, 8, 321, dtype=torch.float64)
    p, q = ((-(points - mean).square() / 2).softmax(0) for mean in (-1, 1))
    found = optimal_logit(L.Minimax(), transformed(noise(points, 1.5)), p, q)
    inside = points.abs() < 2
    torch.testing.assert_close(found[inside], -2 * points[inside] / (1 + 1.5**2), rtol=0, atol=1e-3)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_data_remain_the_end_of_every_method(view, loss):
    end, _ = descend(LOSSES[loss], VIEWS[view], P, Q, steps=1000)
    torch.testing.assert_close(end, P, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("loss", "why"), [(L.Hinge(), "no unique D"), (L.Wasserstein(), "kind metric")])
def test_a_loss_without_one_best_discriminator_is_told(loss, why):
    with pytest.raises(UserError, match=why):
        optimal_logit(loss, plain(), P, Q)
