"""Precision, recall, density and coverage: their definitions, closed cases, ties, blocks, and torch-fidelity's."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch_fidelity.metric_prc import prc_features_to_metric

from gan_research.metrics import Values, neighbours
from gan_research.metrics.neighbours import DensityCoverage, PrecisionRecall, distances, radii
from gan_research.utils.errors import UserError

METRICS = (PrecisionRecall, DensityCoverage)


def normal(n, dim, seed, scale=1.0, shift=0.0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)) * scale + shift


def line(*values):
    return torch.tensor(values)[:, None]


def grid(n, dim, seed, levels=4):
    """Whole numbers: many of them copies, and many equally far."""
    return torch.randint(0, levels, (n, dim), generator=torch.Generator().manual_seed(seed)).float()


def measured(reals, fakes, k):
    found = {}
    for metric in (kind(Values(), neighbours=k) for kind in METRICS):
        metric.update(reals, of="train")
        metric.update(fakes)
        found |= metric.compute()
    return found


def by_definition(reals, fakes, k):
    """The two papers' sums over all pairs, in float64 and by differences."""
    reals, fakes = reals.double().numpy(), fakes.double().numpy()
    between = cdist(reals, fakes)
    real_radii, fake_radii = (np.sort(cdist(x, x), 1)[:, k] for x in (reals, fakes))
    inside = between < real_radii[:, None]
    return {
        "precision": (between <= real_radii[:, None]).any(0).mean(),
        "recall": (between <= fake_radii).any(1).mean(),
        "density": inside.sum() / (k * len(fakes)),
        "coverage": inside.any(1).mean(),
    }


@pytest.mark.parametrize("block", [1, 7, 16, 1000])
@pytest.mark.parametrize(("num_real", "num_fake", "dim", "k"), [(40, 40, 3, 3), (50, 23, 2, 5), (19, 61, 5, 1)])
def test_all_four_are_as_defined(block, num_real, num_fake, dim, k, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    reals, fakes = normal(num_real, dim, 0), normal(num_fake, dim, 1, 0.8, 0.3)
    expected = by_definition(reals, fakes, k)
    assert measured(reals, fakes, k) == pytest.approx(expected, abs=1e-12)
    assert all(0 < value < 1.5 for value in expected.values())


@pytest.mark.parametrize("save_cpu_ram", [False, True])
@pytest.mark.parametrize(("dim", "k"), [(2048, 3), (64, 3), (8, 5)])
def test_precision_and_recall_are_torch_fidelitys(save_cpu_ram, dim, k):
    directions = normal(6, dim, 2)  # features in few directions: neighbours, although there are many numbers
    reals, fakes = normal(400, 6, 0) @ directions + 5, normal(300, 6, 1, 0.8, 0.5) @ directions + 5
    settings = {"prc_neighborhood": k, "prc_batch_size": 128, "save_cpu_ram": save_cpu_ram, "verbose": False}
    expected = prc_features_to_metric(fakes, reals, **settings)
    found = measured(reals, fakes, k)
    assert found["precision"] == pytest.approx(expected["precision"], abs=1e-6)  # its mean is in float32
    assert found["recall"] == pytest.approx(expected["recall"], abs=1e-6)
    assert 0.1 < found["recall"] < 0.9


def test_four_points_on_a_line_by_hand():
    reals = line(0.0, 1.0, 3.0, 7.0)  # k = 1: radii 1, 1, 2 and 4
    fakes = line(-1.0, 2.0, 2.5, 20.0)  # k = 1: radii 3, 0.5, 0.5 and 17.5
    # on or in a real ball: -1 (of 0, on its border), 2 (of 1, on its border; of 3), 2.5 (of 3)
    # on or in a fake ball: 0, 1, 3 (of 2.5, on its border), 7 (of 20)
    # strictly in a real ball: 2 and 2.5, of 3
    assert measured(reals, fakes, 1) == {"precision": 0.75, "recall": 1.0, "density": 0.5, "coverage": 0.25}


@pytest.mark.parametrize("block", [3, 1000])
@pytest.mark.parametrize(("unit", "shift"), [(1, 0), (1, 1000), (1 / 3, 0), (1e-3, 0)])
def test_copies_and_ties_are_told_exactly(block, unit, shift, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    for seed in range(5):
        reals, fakes = grid(40, 3, seed), grid(30, 3, seed + 100)
        expected = by_definition(reals, fakes, 2)
        reals, fakes = (x.double() * unit + shift for x in (reals, fakes))
        found = {}
        for metric in (kind(Values(), neighbours=2) for kind in METRICS):
            found |= metric.compare(reals, radii(reals, 2), fakes)
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("block", [5, 1000])
@pytest.mark.parametrize("dim", [2, 100])
def test_samples_that_are_the_reals_in_another_order(block, dim, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK", block)
    reals = normal(64, dim, 0, shift=30.0)
    found = measured(reals, reals[torch.randperm(64, generator=torch.Generator().manual_seed(1))], 5)
    # strictly inside a ball are its centre and 4 neighbours: the fifth is on the border
    assert found == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_sets_far_apart():
    found = measured(normal(30, 4, 0), normal(20, 4, 1, shift=1000.0), 3)
    assert found == {"precision": 0.0, "recall": 0.0, "density": 0.0, "coverage": 0.0}


def test_one_real_sample_over_and_over():
    reals = normal(50, 10, 0, shift=3.0)
    found = measured(reals, reals[7:8].expand(20, -1), 3)
    assert (found["precision"], found["recall"]) == (1.0, 1 / 50)  # balls of radius 0, on whose border it is
    others = cdist(*[reals.double().numpy()] * 2)
    inside = (others[7] < np.sort(others, 1)[:, 3]).sum()
    assert found["coverage"] == inside / 50
    assert found["density"] == pytest.approx(inside / 3, rel=1e-12)


def test_distances_lose_no_digits_far_from_the_origin():
    a, b = normal(20, 50, 0, 1e-2, 1000.0), normal(30, 50, 1, 1e-2, 1000.0)
    expected = cdist(a.double().numpy(), b.double().numpy())
    np.testing.assert_allclose(distances(a, b).numpy(), expected, rtol=2e-7)
    assert distances(a, a).diagonal().tolist() == [0] * 20
    assert distances(a[:1], a[:1] * (1 + 1e-5)).item() == pytest.approx(1e-5 * a[0].norm().item(), rel=0.05)


def test_radii_of_the_same_reals_are_kept(monkeypatch):
    asked = []
    monkeypatch.setattr(neighbours, "radii", lambda samples, k: (asked.append(len(samples)), radii(samples, k))[1])
    reals, metric = normal(40, 3, 0), PrecisionRecall(Values())
    metric.update(reals, of="train")
    for seed in (1, 2):
        fakes = normal(30, 3, seed)
        metric.update(fakes)
        expected = by_definition(reals, fakes, 3)
        assert metric.compute() == {key: expected[key] for key in ("precision", "recall")}
        metric.reset()
    assert asked == [40, 30, 30]
    metric.update(normal(10, 3, 3), of="train")  # other reals from now on
    metric.update(normal(30, 3, 1))
    metric.compute()
    assert asked == [40, 30, 30, 50, 30]


@pytest.mark.parametrize("kind", METRICS)
def test_too_few_samples_are_refused(kind):
    metric = kind(Values(), neighbours=4)
    with pytest.raises(UserError, match="needs num_samples of at least 5, not 4"):
        metric.check(4)
    assert metric.min_real == 5
    for num_real, num_fake, message in (
        (9, 4, "num_samples of at least 5, not 4"),
        (4, 9, "num_real of at least 5, not 4"),
    ):
        metric = kind(Values(), neighbours=4)
        metric.update(normal(num_real, 2, 0), of="train")
        metric.update(normal(num_fake, 2, 1))
        with pytest.raises(UserError, match=message):
            metric.compute()
    with pytest.raises(UserError, match="setting neighbours of at least 1, not 0"):
        kind(Values(), neighbours=0)


def test_the_neighbours_are_the_papers():
    assert (PrecisionRecall(Values()).neighbours, DensityCoverage(Values()).neighbours) == (3, 5)
