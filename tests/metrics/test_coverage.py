"""Modes found, high quality and reverse KL: of samples whose modes are known, and what a perfect sampler would get."""

import math
from pathlib import Path

import pytest
import scipy.stats
import torch

from gan_research.data import GaussianMixture, Grid, Ring
from gan_research.metrics import Evaluation, Features, MixtureModes, StackedClassifier, Values
from gan_research.metrics.coverage import expected_kl
from gan_research.utils.errors import UserError

DATA = Path(__file__).parents[2] / "data"
ALL = ["reverse_kl", "modes", "high_quality"]
MODES = [[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]]


def draw(density, n, seed=0):
    return density.sample(n, torch.Generator().manual_seed(seed))


def test_logits_are_squared_distances_in_standard_deviations():
    density = GaussianMixture([[0, 0], [4, 0]], [[1, 2], [0.5, 0.5]])
    seen = MixtureModes(density)(torch.tensor([[1.0, 2.0], [4.0, 1.0]]))
    expected = torch.tensor([[-(1 + 1) / 2, -(36 + 16) / 2], [-(16 + 0.25) / 2, -4 / 2]])
    torch.testing.assert_close(seen.logits, expected, rtol=1e-6, atol=0)
    assert torch.equal(seen.features, torch.tensor([[1.0, 2.0], [4.0, 1.0]]))


def test_three_modes_of_four_found(score):
    fake = torch.tensor(MODES)[torch.arange(90) % 3]
    found = score(MixtureModes(GaussianMixture(MODES, 0.1)), ALL, fake)
    assert found["modes"] == 3
    assert found["high_quality"] == 1
    assert found["reverse_kl"] == pytest.approx(math.log(4 / 3), rel=1e-12)  # uniform on 3 of 4


def test_a_mode_without_a_sample_of_high_quality_is_not_found(score):
    centres = torch.tensor(MODES)
    near, far = torch.tensor([0.0, 0.299]), torch.tensor([0.0, 0.301])
    fake = torch.cat([(centres[:2] + near).repeat(4, 1), (centres[2:3] + far).repeat(2, 1)])
    found = score(MixtureModes(GaussianMixture(MODES, 0.1)), ALL, fake, batch_size=3)
    assert found["modes"] == 2
    assert found["high_quality"] == 0.8
    assert found["reverse_kl"] == pytest.approx(math.log(2), rel=1e-12)  # of the good ones: uniform on 2 of 4


def test_reverse_kl_is_against_the_weights(score):
    fake = torch.tensor(MODES)[[0] * 6 + [1] * 3 + [3]]
    weighted = GaussianMixture(MODES, 0.1, weights=[5, 2, 2, 1])
    by_hand = 0.6 * math.log(0.6 / 0.5) + 0.3 * math.log(0.3 / 0.2)
    assert score(MixtureModes(weighted), ["reverse_kl"], fake)["reverse_kl"] == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize(
    ("places", "largest", "share"),
    [([0, 3, 3, 1], 3, 0.5), ([2] * 5, 2, 1.0), ([3, 1, 1, 3, 0], 1, 0.4)],  # of equals the lowest
)
def test_the_mode_with_most_samples_and_its_share(score, places, largest, share):
    found = score(
        MixtureModes(GaussianMixture(MODES, 0.1)), ["largest_mode"], torch.tensor(MODES)[places] + 1, batch_size=2
    )
    assert found == {"largest_mode": largest, "largest_share": share}  # however far the samples are from it


def test_the_largest_mode_ranks_nothing():
    evaluation = Evaluation(MixtureModes(Ring()), ["largest_mode", "modes"])
    assert evaluation.columns == {"modes": "max"}


@pytest.mark.parametrize("density", [Ring(std=0.01, radius=1.0), Grid(), GaussianMixture(MODES, 0.1, [4, 3, 2, 1])])
def test_a_perfect_sampler_scores_as_predicted(density, score):
    n, trials = 2500, 40
    fakes = [draw(density, n, seed) for seed in range(trials)]
    found = [score(MixtureModes(density), ALL, fake, batch_size=n) for fake in fakes]
    assert found[0]["high_quality_perfect"] == pytest.approx(0.98889, abs=5e-6)
    assert found[0]["reverse_kl_perfect"] == pytest.approx((len(density.means) - 1) / (2 * 0.98889 * n), rel=0.01)
    for name in ALL:
        scores = torch.tensor([row[name] for row in found]).double()
        error = scores.std() / math.sqrt(trials)
        assert scores.mean().item() == pytest.approx(found[0][f"{name}_perfect"], abs=4 * error.item() + 1e-6)


@pytest.mark.parametrize(("dim", "share"), [(1, 0.9973002), (2, 0.9888910), (3, 0.9707091)])
def test_the_share_within_three_standard_deviations(dim, share):
    extractor = MixtureModes(GaussianMixture([[0.0] * dim], 1.0))
    assert extractor.perfect_quality == pytest.approx(scipy.stats.chi2.cdf(9, dim), rel=1e-9)
    assert extractor.perfect_quality == pytest.approx(share, abs=1e-7)


def test_expected_modes_where_some_are_missed(score):
    # 5 samples of 4 modes: q w = 0.98889 / 4 of them are in one mode, and good
    found = score(MixtureModes(GaussianMixture(MODES, 0.1)), ["modes"], torch.zeros(5, 2))
    assert found["modes_perfect"] == pytest.approx(4 * (1 - (1 - 0.9888910 / 4) ** 5), rel=1e-7)


def test_expected_kl_against_all_outcomes():
    weights, n = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64), 6
    total = 0.0
    for a in range(n + 1):
        for b in range(n + 1 - a):
            counts = [a, b, n - a - b]
            probability = scipy.stats.multinomial.pmf(counts, n, weights.numpy())
            kl = sum(c / n * math.log(c / n / w) for c, w in zip(counts, weights.tolist(), strict=True) if c)
            total += probability * kl
    assert expected_kl(weights, n) == pytest.approx(total, rel=1e-12)
    assert expected_kl(torch.ones(1), 50) == pytest.approx(0, abs=1e-9)
    assert expected_kl(torch.full((1000,), 1e-3), 26_000) == pytest.approx(0.0193, abs=1e-4)  # 999 / 52,000 = 0.0192


def test_where_no_sample_is_good_the_kl_is_the_largest_there_is(score):
    found = score(MixtureModes(GaussianMixture(MODES, 0.1)), ALL, torch.full((3, 2), 1e30))
    assert (found["modes"], found["high_quality"]) == (0, 0)
    assert found["reverse_kl"] == pytest.approx(math.log(4), rel=1e-12)


# StackedMNIST


class Bright(torch.nn.Module):
    """Stands for the digits' network: the class is the brightness of the image / 25."""

    def forward(self, images):
        logits = torch.nn.functional.one_hot(images[:, 0, 0, 0].long() // 25, 10).float() * 20
        return logits[:, :3], logits


@pytest.fixture
def bright():
    extractor = StackedClassifier()
    extractor.classifier.network = Bright()
    return extractor


def test_the_class_of_a_stack_is_made_of_its_digits(bright):
    digits = torch.tensor([[1, 2, 3], [9, 0, 5]])
    images = (25 * digits).to(torch.uint8)[:, :, None, None].expand(-1, -1, 28, 28)
    seen = bright(images)
    assert seen.logits.shape == (2, 1000)
    assert seen.logits.argmax(1).tolist() == [123, 905]
    torch.testing.assert_close(seen.logits.logsumexp(1), torch.zeros(2), rtol=0, atol=1e-5)
    p, q = (torch.tensor([20.0] + [0.0] * 9).softmax(0)[i] for i in (0, 1))
    assert seen.logits[0, 123].item() == pytest.approx(3 * p.log().item(), abs=1e-6)
    assert seen.logits[0, 133].item() == pytest.approx((2 * p.log() + q.log()).item(), rel=1e-6)
    assert seen.features.tolist() == [[0, 20, 0, 0, 0, 20, 0, 0, 0], [0, 0, 0, 20, 0, 0, 0, 0, 0]]


def test_coverage_of_stacks(bright, score):
    digits = torch.cartesian_prod(*[torch.arange(10)] * 3)[:500]
    images = (25 * digits).to(torch.uint8)[:, :, None, None].expand(-1, -1, 28, 28).repeat(2, 1, 1, 1)
    found = score(bright, ["reverse_kl", "modes"], images)
    assert found["modes"] == 500
    assert found["reverse_kl"] == pytest.approx(math.log(2), rel=1e-9)
    assert found["modes_perfect"] == pytest.approx(1000 * (1 - 0.999**1000), rel=1e-9)


@pytest.mark.skipif(not (DATA / "MNIST" / "raw" / "t10k-images-idx3-ubyte").exists(), reason="no MNIST")
def test_stacks_of_real_digits():
    from torchvision.datasets import MNIST

    test = MNIST(str(DATA), train=False)
    images = test.data[:600].view(200, 3, 28, 28)
    classes = test.targets[:600].view(200, 3) @ torch.tensor([100, 10, 1])
    extractor = StackedClassifier()
    seen = extractor(images)
    assert seen.features.shape == (200, extractor.num_features) == (200, 192)
    assert (seen.logits.argmax(1) == classes).double().mean().item() >= 0.97
    assert torch.equal(seen.features[:, 64:128], extractor.classifier(images[:, 1:2]).features)


# Errors


def test_what_these_metrics_do_not_suit():
    with pytest.raises(UserError, match="'high_quality' needs modes of a known spread"):
        Evaluation(StackedClassifier(), ["high_quality"])
    with pytest.raises(UserError, match="'modes' needs logits, and extractor 'values' has none"):
        Evaluation(Values(), ["modes"])
    with pytest.raises(UserError, match="takes images of 1 x 8 x 8"):
        StackedClassifier("digits")(torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    with pytest.raises(UserError, match="takes images of 3 channels, not 1"):
        StackedClassifier()(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(UserError, match="object has no modes: choose metrics=points"):
        MixtureModes(object())
    modes = MixtureModes(Ring())
    with pytest.raises(UserError, match="takes points of 2 numbers, not 3"):
        modes(torch.zeros(4, 3))
    with pytest.raises(UserError, match=r"'mixture-modes' takes points .* not uint8 of shape \(2, 3, 8, 8\)"):
        modes(torch.zeros(2, 3, 8, 8, dtype=torch.uint8))


def test_values_are_the_numbers_themselves():
    images = torch.tensor([0, 51, 255, 102], dtype=torch.uint8).view(1, 1, 2, 2)
    assert Values()(images) == Features(pytest.approx(torch.tensor([[0, 0.2, 1, 0.4]])), None)
    points = torch.tensor([[1.5, -2.0]])
    assert torch.equal(Values()(points).features, points)
    with pytest.raises(UserError, match=r"'values' takes 8-bit images .* or points .*, not int64"):
        Values()(torch.zeros(3, 2, dtype=torch.int64))
