"""Fréchet distances: closed forms, scipy and torch-fidelity, few samples, within classes, and infinitely many."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

from gan_research.metrics import FID, InfiniteFID, IntraClassFID, Values
from gan_research.metrics.gaussians import BLOCK, Gaussian, frechet_distance
from gan_research.utils.errors import UserError


class Other(Values):
    """An extractor whose Fréchet distance isn't called FID."""

    frechet = "fd_other"


def features(seed: int, count: int, width: int, power: float = 1.0) -> Tensor:
    """Normal features (count, width) float32, the variances of their principal components k^-power."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.arange(1, width + 1) ** (-power / 2)
    rotation = torch.linalg.qr(torch.randn(width, width, generator=generator)).Q
    return 0.4 + (torch.randn(count, width, generator=generator) * scales) @ rotation


def gaussian(mean: list[float], covariance: list[list[float]]) -> Gaussian:
    return Gaussian(torch.tensor(mean), torch.tensor(covariance, dtype=torch.float64))


def diagonal(*values: float) -> list[list[float]]:
    return torch.diag(torch.tensor(values)).tolist()


def by_scipy(a: Gaussian, b: Gaussian) -> float:
    product = np.trace(scipy.linalg.sqrtm((a.covariance @ b.covariance).numpy())).real
    return ((a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * product).item()


def scale(a: Gaussian, b: Gaussian) -> float:
    return (a.covariance.trace() + b.covariance.trace()).item()


def measure(metric, real: Tensor, fake: Tensor, real_labels=None, fake_labels=None) -> dict[str, float]:
    metric.update(real, of="train", labels=real_labels)
    metric.update(fake, labels=fake_labels)
    return metric.compute()


# The distance


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (([0.0], [[4.0]]), ([3.0], [[1.0]]), 9 + (2 - 1) ** 2),
        (([1.0, 0.0], diagonal(4, 9)), ([0.0, 2.0], diagonal(1, 25)), 5 + (2 - 1) ** 2 + (3 - 5) ** 2),
        (([5.0, 5.0], [[2.0, 1.0], [1.0, 2.0]]), ([5.0, 5.0], [[2.0, 1.0], [1.0, 2.0]]), 0),
        # Both have the eigenvectors (1, 1) and (1, -1): of variances 9 and 1, and 25 and 4.
        (
            ([0.0, 0.0], [[5.0, 4.0], [4.0, 5.0]]),
            ([0.0, 0.0], [[14.5, 10.5], [10.5, 14.5]]),
            (3 - 5) ** 2 + (1 - 2) ** 2,
        ),
        # 2 x 2: the trace of the root of M is sqrt(tr M + 2 sqrt(det M)). M = [[2, 3], [1, 6]], tr 8, det 9.
        (([0.0, 1.0], [[2.0, 1.0], [1.0, 2.0]]), ([0.0, 0.0], [[1.0, 0.0], [0.0, 3.0]]), 1 + 8 - 2 * 14**0.5),
        (([0.0, 0.0], diagonal(4, 0)), ([0.0, 0.0], diagonal(0, 9)), 13),  # of rank 1 each
    ],
    ids=["1-D", "diagonal", "equal", "commuting", "general", "singular"],
)
def test_distance_in_closed_form(a, b, expected):
    a, b = gaussian(*a), gaussian(*b)
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-12 * scale(a, b))
    assert frechet_distance(b, a) == pytest.approx(expected, abs=1e-12 * scale(a, b))


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("real", "fake"), [(800, 500), (800, 40), (40, 800), (60, 40), (60, 60), (800, 2)])
def test_distance_is_that_of_scipy_also_with_few_samples(real, fake, power):
    a, b = (Gaussian.of(features(i, n, 100, power)) for i, n in enumerate((real, fake)))
    found = frechet_distance(a, b)
    assert found > 0
    assert found == pytest.approx(by_scipy(a, b), abs=1e-6 * scale(a, b))


@pytest.mark.parametrize("count_of_a", [500, 60])
@pytest.mark.parametrize("count_of_b", [500, 40])
def test_distance_is_exact_whether_counts_are_known_or_not(count_of_a, count_of_b):
    x, y = features(0, count_of_a, 100).double(), features(1, count_of_b, 100).double()
    a, b = Gaussian.of(x), Gaussian.of(y)
    # tr (C C')^1/2 is the sum of the singular values of A B^T, where C = A^T A and C' = B^T B: nothing is squared.
    A, B = ((z - z.mean(0)) / (len(z) - 1) ** 0.5 for z in (x, y))
    exact = ((a.mean - b.mean).square().sum() - 2 * torch.linalg.svdvals(A @ B.T).sum()).item() + scale(a, b)
    unknown = Gaussian(a.mean, a.covariance), Gaussian(b.mean, b.covariance)
    assert (
        [part.rank for part in unknown] == [part.rank for part in (a, b)] == [min(100, n - 1) for n in (len(x), len(y))]
    )
    assert frechet_distance(a, b) == pytest.approx(exact, abs=1e-11 * scale(a, b))
    assert frechet_distance(*unknown) == pytest.approx(exact, abs=1e-11 * scale(a, b))


@pytest.mark.parametrize("count", [40, 800])
def test_distance_to_itself_is_zero_and_not_negative(count):
    a = Gaussian.of(features(0, count, 100))
    assert 0 <= frechet_distance(a, a) < 1e-11 * scale(a, a)


def test_gaussian_of_features_over_several_blocks():
    x = features(0, 2 * BLOCK + 7, 5)
    found = Gaussian.of(x)
    assert found.count == len(x)
    np.testing.assert_allclose(found.mean, x.numpy().astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.numpy().astype(np.float64), rowvar=False), rtol=1e-10)


def test_distances_that_there_are_not():
    good = Gaussian.of(features(0, 20, 3))
    with pytest.raises(UserError, match="no Fréchet distance between 3 features and 4: use the same extractor"):
        frechet_distance(good, Gaussian.of(features(0, 20, 4)))
    single = Gaussian.of(features(0, 1, 3))
    broken = Gaussian(torch.tensor([0, np.inf, 0]), good.covariance)
    for bad, message in ((single, "of the 1 sample isn't finite"), (broken, "of the features isn't finite")):
        for pair in ((good, bad), (bad, good)):
            with pytest.raises(UserError, match=f"{message}: a Fréchet distance needs at least 2 samples"):
                frechet_distance(*pair)


# FID


@pytest.mark.parametrize(("real", "fake"), [(400, 300), (400, 20), (20, 30)])
def test_fid_is_that_of_torch_fidelity(real, fake):
    x, y = features(0, real, 32), 1.3 * features(1, fake, 32)
    statistics = [fid_features_to_statistics(part.double()) for part in (x, y)]
    theirs = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    assert measure(FID(Values()), x, y) == {"fd_values": pytest.approx(theirs, rel=1e-6)}


def test_fid_of_a_shift_is_its_square_and_has_its_extractors_name():
    x = features(0, 200, 4)
    assert measure(FID(Other()), x, x + 0.5) == {"fd_other": pytest.approx(1, rel=1e-6)}
    assert FID(Other()).columns == {"fd_other": "min"}


def test_fid_needs_two_samples():
    with pytest.raises(UserError, match="metric 'fid' needs num_samples of at least 2, not 1"):
        FID(Values()).check(1)
    with pytest.raises(UserError, match="of the 1 sample isn't finite"):
        measure(FID(Values()), features(0, 20, 4), features(0, 1, 4))


# Within classes


def test_ifid_of_two_classes_by_hand():
    # Class 3 moves by 2, class 8 becomes three times as wide about its mean: 4, and (3 - 1)^2 tr C.
    x, labels = features(0, 100, 4), torch.tensor([3, 8, 8, 3, 8]).repeat(20)
    moved, wide = x[labels == 3] + 1, x[labels == 8]
    wide = wide.mean(0) + 3 * (wide - wide.mean(0))
    fakes, fake_labels = torch.cat([wide, moved]), torch.tensor([8] * len(wide) + [3] * len(moved))
    by_hand = (4 + 4 * x[labels == 8].double().T.cov().trace().item()) / 2
    found = measure(IntraClassFID(Values()), x, fakes, labels, fake_labels)
    assert found == {"ifd_values": pytest.approx(by_hand, rel=1e-5)}
    assert found["ifd_values"] != pytest.approx(measure(FID(Values()), x, fakes)["fd_values"], rel=0.1)
    assert measure(IntraClassFID(Other()), x, x, labels, labels) == {"ifd_other": pytest.approx(0, abs=1e-10)}


@pytest.mark.parametrize("without", ["real", "fake"])
def test_ifid_needs_labels(without):
    x, labels = features(0, 10, 2), torch.arange(10) % 2
    given = {"real": labels, "fake": labels} | {without: None}
    with pytest.raises(UserError, match="needs the classes of real and generated samples: choose labelled data and a"):
        measure(IntraClassFID(Values()), x, x, given["real"], given["fake"])


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        ([0] * 9 + [1], [0] * 5 + [1] * 5, "class 1 has 1 and 5"),
        ([0] * 5 + [1] * 5, [0] * 10, "class 1 has 5 and 0"),
        ([0] * 10, [0] * 8 + [2] * 2, "class 2 has 0 and 2"),
    ],
)
def test_ifid_needs_two_samples_of_each_class(real, fake, message):
    x = features(0, 10, 2)
    with pytest.raises(UserError, match=f"at least 2 real and 2 generated samples of each class, and {message}: raise"):
        measure(IntraClassFID(Values()), x, x, torch.tensor(real), torch.tensor(fake))


# Infinitely many samples


@pytest.mark.parametrize("points", [3, 15])
def test_fid_infinity_is_the_intercept_of_a_line(points):
    x, y = features(0, 500, 6), 1.2 * features(1, 1203, 6)
    draws, counts = np.random.RandomState(2020), np.linspace(120.3, 1203, points).round().astype(int)
    assert list(counts[[0, -1]]) == [120, 1203]
    mean, covariance = x.double().mean(0).numpy(), x.double().T.cov().numpy()
    distances = []
    for count in counts:
        part = y.double().numpy()[draws.permutation(1203)[:count]]
        its = np.cov(part, rowvar=False)
        root = scipy.linalg.sqrtm(its @ covariance).real
        distances.append(((part.mean(0) - mean) ** 2).sum() + np.trace(its + covariance - 2 * root))
    line = scipy.stats.linregress(1 / counts, distances)
    found = measure(InfiniteFID(Values(), points=points), x, y)
    assert found == {
        "fd_values_infinity": pytest.approx(line.intercept, rel=1e-8),
        "fd_values_infinity_se": pytest.approx(line.intercept_stderr, rel=1e-8),
    }


def test_fid_infinity_of_the_same_distribution_is_nearer_to_zero_than_fid():
    x, *parts = features(0, 60_000, 24, power=0.5).split([50_000, 2000, 2000, 2000, 2000, 2000])
    for y in parts:
        fid = measure(FID(Values()), x, y)["fd_values"]
        found = measure(InfiniteFID(Values()), x, y)["fd_values_infinity"]
        assert abs(found) < fid / 3


def test_fid_infinity_has_its_extractors_name_and_repeats():
    x, y = features(0, 100, 4), features(1, 100, 4)
    metric = InfiniteFID(Other(), min_samples=50)
    assert metric.columns == {"fd_other_infinity": "min"}
    found = measure(metric, x, y)
    assert list(found) == ["fd_other_infinity", "fd_other_infinity_se"]
    assert metric.compute() == found
    assert metric.settings == {"points": 15, "min_samples": 50}


def test_fid_infinity_errors():
    InfiniteFID(Values(), min_samples=50).check(50)
    with pytest.raises(UserError, match="metric 'fid_infinity' needs num_samples of at least 50, not 49"):
        InfiniteFID(Values(), min_samples=50).check(49)
    for name, value, least in (("points", 2, 3), ("min_samples", 19, 20)):
        with pytest.raises(UserError, match=f"setting {name} of at least {least}, not {value}"):
            InfiniteFID(Values(), **{name: value})
