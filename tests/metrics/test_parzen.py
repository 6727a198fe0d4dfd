"""The Parzen-window log-likelihood: closed forms, a naive loop, the choice of sigma, and what it refuses."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from gan_research.metrics import Evaluation, Parzen, Values, parzen
from gan_research.metrics.parzen import best_sigma, log_likelihood
from gan_research.utils.errors import UserError


def normal(n, dim, seed, scale=1.0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * scale


FEW = {"parzen": {"num_validation": 20}}
"""20 validation samples instead of 1,000."""


def test_one_centre_is_a_gaussian():
    points, centre = normal(7, 3, 0), normal(1, 3, 1)
    expected = scipy.stats.multivariate_normal(centre[0].numpy(), 0.7**2).logpdf(points.numpy())
    np.testing.assert_allclose(log_likelihood(points, centre, [0.7])[0].numpy(), expected, rtol=1e-6)


def test_many_centres_are_their_mean():
    points, centres, sigmas = normal(6, 5, 0), normal(9, 5, 1), [0.1, 0.5, 2.0]
    found = log_likelihood(points, centres, sigmas).numpy()
    for s, sigma in enumerate(sigmas):
        for i, x in enumerate(points.double().numpy()):
            densities = [scipy.stats.multivariate_normal(c, sigma**2).logpdf(x) for c in centres.double().numpy()]
            assert found[s, i] == pytest.approx(scipy.special.logsumexp(densities) - math.log(9), rel=1e-9)


def test_far_centres_neither_overflow_nor_lose_digits():
    points = torch.tensor([[1000.0, 0.0]])
    centres = torch.tensor([[1000.25, 0.0], [-1000.0, 0.0]])
    by_hand = -0.5 * (0.25 / 0.1) ** 2 - math.log(2 * math.pi * 0.01) - math.log(2)
    assert log_likelihood(points, centres, [0.1]).item() == pytest.approx(by_hand, rel=1e-7)
    assert math.isfinite(log_likelihood(points, centres[1:], [0.01]).item())


def test_blocks_change_nothing(monkeypatch):
    points, centres = normal(50, 4, 0), normal(30, 4, 1)
    whole = log_likelihood(points, centres, [0.2, 0.9])
    monkeypatch.setattr(parzen, "PAIRS", 70)
    torch.testing.assert_close(log_likelihood(points, centres, [0.2, 0.9]), whole, rtol=1e-12, atol=1e-12)


def test_gaussian_data_have_the_likelihood_of_the_smoothed_gaussian():
    # Centres N(0, 1): the estimate tends to N(0, 1 + sigma^2), whose mean log-density of N(0, 1) points is this.
    sigma = 0.5
    found = log_likelihood(normal(5000, 1, 0), normal(20000, 1, 1), [sigma]).mean().item()
    assert found == pytest.approx(-0.5 * math.log(2 * math.pi * (1 + sigma**2)) - 0.5 / (1 + sigma**2), abs=0.02)


def test_sigma_is_the_likeliest_of_the_grid():
    assert Parzen.sigmas.tolist() == pytest.approx(np.logspace(-1, 0, 10).tolist(), rel=1e-12)
    centre = torch.zeros(1, 4)
    for wanted in (0.1, Parzen.sigmas[4].item(), 1.0):  # the likeliest sigma is the root of the mean square
        points = normal(400, 4, 0, wanted)
        points *= wanted / points.square().mean().sqrt()
        assert best_sigma(points, centre, Parzen.sigmas) == pytest.approx(wanted, rel=1e-12)


def test_the_columns(score):
    real, heldout, fake = normal(50, 3, 0), normal(40, 3, 1), normal(30, 3, 2, 0.8)
    found = score(Values(), ["parzen"], fake, real, heldout, in_order=True, batch_size=7, settings=FEW)
    sigma = best_sigma(real[:20], fake, Parzen.sigmas)
    likelihoods = log_likelihood(heldout, fake, [sigma])[0].numpy()
    assert found["parzen_sigma"] == sigma
    assert found["parzen"] == pytest.approx(likelihoods.mean(), rel=1e-12)
    assert found["parzen_se"] == pytest.approx(likelihoods.std() / math.sqrt(40), rel=1e-12)
    best = best_sigma(real[:20], real[20:], Parzen.sigmas)
    assert found["parzen_perfect"] == pytest.approx(log_likelihood(heldout, real[20:], [best]).mean().item(), rel=1e-12)
    assert list(found) == ["parzen", "parzen_se", "parzen_sigma", "parzen_perfect"]
    further = torch.cat([real, 100 + real])
    other = score(Values(), ["parzen"], fake, further, heldout, in_order=True, batch_size=500, settings=FEW)
    assert other == pytest.approx(found, rel=1e-12)  # neither the batch size nor further reals matter


def test_images_are_numbers_from_0_to_1(score):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (90, 1, 2, 2), dtype=torch.uint8, generator=generator)
    found = score(Values(), ["parzen"], images[:30], images[:50], images[50:], settings=FEW)
    values = images.flatten(1).float() / 255
    assert found["parzen"] == pytest.approx(
        log_likelihood(values[50:], values[:30], [found["parzen_sigma"]]).mean().item(), rel=1e-12
    )


def test_a_second_call_forgets_the_first(as_set):
    evaluation = Evaluation(Values(), ["parzen"], num_samples=30, settings=FEW)
    evaluation.prepare(as_set(normal(50, 3, 0)), heldout=as_set(normal(40, 3, 1)))
    first, second = (evaluation(as_set(normal(30, 3, seed))) for seed in (2, 3))
    assert first["parzen"] != second["parzen"]
    assert first["parzen_perfect"] == second["parzen_perfect"]
    assert evaluation(as_set(normal(30, 3, 2))) == first


def test_the_protocol_says_which_reals(as_set):
    evaluation = Evaluation(Values(), ["parzen"], num_samples=30, settings=FEW)
    real, heldout = as_set(normal(70, 3, 0)), as_set(normal(40, 3, 1))
    evaluation.prepare(real, heldout=heldout)
    protocol = evaluation.protocol()
    assert (protocol.real_split, protocol.num_real, protocol.real_hash) == ("train", 50, real.content_hash())
    assert (protocol.num_heldout, protocol.heldout_hash) == (40, heldout.content_hash())
    assert protocol.quantisation == "none"


def test_what_is_missing_is_said(as_set):
    evaluation = Evaluation(Values(), ["parzen"], num_samples=30, settings=FEW)
    with pytest.raises(UserError, match="'parzen' needs real samples that aren't trained on"):
        evaluation.prepare(as_set(normal(50, 3, 0)))
    with pytest.raises(UserError, match=r"needs 50 real samples \(train\) for num_samples=30, and there are 49"):
        evaluation.prepare(as_set(normal(49, 3, 0)), heldout=as_set(normal(40, 3, 1)))
