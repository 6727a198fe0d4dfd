"""2C and D2D-CE: known values and gradients, the samples of other ranks, and impossible settings."""

import math
from types import SimpleNamespace
from unittest import mock

import pytest
import torch

from gan_research.networks.base import DOutput
from gan_research.regularizers import ConditionalContrastive, DataToDataCrossEntropy, Side, contrastive
from gan_research.utils.errors import UserError

ANGLES, PROXIES, LABELS = (0.0, 0.3, 1.2, 2.5), (0.1, 2.0), torch.tensor([0, 0, 1, 1])

# computed with StudioGAN's losses, and from the papers' equations
GOLDEN = {
    "2C": (ConditionalContrastive(), 0.403064948, (0.096455, 0.169901, -0.319425, 0.019990)),
    "2C, 0.5": (ConditionalContrastive(temperature=0.5), 0.282773601, (0.126611, 0.256313, -0.542823, 0.055323)),
    "D2D-CE": (DataToDataCrossEntropy(), 1.658427489, (0.389167, 0.466529, -1.179767, 0.170324)),
    "D2D-CE, 0.25": (
        DataToDataCrossEntropy(temperature=0.25),
        2.401609901,
        (0.856680, 1.229860, -2.788847, 0.359947),
    ),
    "StudioGAN's": (
        DataToDataCrossEntropy(published_code=True),
        0.785486731,
        (0.225823, 0.301616, -0.792012, 0.143685),
    ),
    "StudioGAN's, 0.25": (
        DataToDataCrossEntropy(temperature=0.25, published_code=True),
        0.690987949,
        (0.274937, 0.627430, -1.481941, 0.253221),
    ),
}
every = pytest.mark.parametrize("name", GOLDEN)


def on_circle(angles):
    return torch.stack([angles.cos(), angles.sin()], 1)


def step_of(embeddings, proxies, labels=LABELS):
    out = DOutput(None, None, {"embedding": embeddings, "proxy": proxies[labels]})
    return SimpleNamespace(own_side=Side(None, labels, out))


def losses_at(regularizer, angles, proxies):
    return regularizer.penalty(step_of(on_circle(angles), on_circle(proxies)))


def double(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


@every
def test_golden_values(name):
    regularizer, value, gradient = GOLDEN[name]
    angles = double(ANGLES)
    losses = losses_at(regularizer, angles, double(PROXIES))
    assert losses.shape == (4,)
    assert losses.mean().item() == pytest.approx(value, abs=1e-8)
    losses.mean().backward()
    assert angles.grad.tolist() == pytest.approx(gradient, abs=1e-6)


@every
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_gradients_are_those_of_the_values_however_large(name, scale):
    regularizer, *_ = GOLDEN[name]
    embeddings, proxies = scale * on_circle(double(ANGLES)), on_circle(double(PROXIES))
    if scale == 1 and not getattr(regularizer, "published_code", False):  # its maximum has no gradient
        assert torch.autograd.gradcheck(lambda a, p: losses_at(regularizer, a, p), (double(ANGLES), double(PROXIES)))
    values = regularizer.penalty(step_of(embeddings.float(), proxies.float()))
    assert values.isfinite().all()


def test_a_class_alone_in_the_minibatch_has_no_pairs():
    embeddings, proxies = on_circle(double(ANGLES)), on_circle(double(PROXIES))
    step = step_of(embeddings, proxies, torch.zeros(4, dtype=torch.int64))
    assert ConditionalContrastive().penalty(step).abs().max().item() < 1e-12
    assert DataToDataCrossEntropy().penalty(step).abs().max().item() < 1e-12
    single = SimpleNamespace(
        own_side=Side(None, LABELS[:1], DOutput(None, None, {"embedding": embeddings[:1], "proxy": proxies[:1]}))
    )
    for regularizer in (ConditionalContrastive(), DataToDataCrossEntropy()):
        assert regularizer.penalty(single).item() == pytest.approx(0, abs=1e-12)


def on_ranks(regularizer, embeddings, proxies, world_size, gathered):
    """The mean over emulated ranks of each one's mean loss, whose columns are `gathered`."""
    means = []
    for rank, rows in enumerate(torch.arange(len(embeddings)).chunk(world_size)):
        part = lambda values: gathered(values, embeddings, rows)  # noqa: B023, E731
        with (
            mock.patch.object(contrastive, "rank_and_world_size", return_value=(rank, world_size)),
            mock.patch.object(contrastive, "gather_of_all", part),
        ):
            step = step_of(embeddings[rows], proxies, LABELS.repeat(4)[rows])
            means.append(regularizer.penalty(step).mean())
    return torch.stack(means).mean()


def whole(values, embeddings, rows):
    """All rows, with a gradient that reaches all ranks."""
    return embeddings if values.is_floating_point() else LABELS.repeat(4)


def own_slice(values, embeddings, rows):
    """All rows, with a gradient that reaches the rank's own rows alone: the fault of public code."""
    if not values.is_floating_point():
        return LABELS.repeat(4)
    return embeddings.detach().index_copy(0, rows, embeddings[rows])


@every
@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_have_the_gradient_of_one_process(name, world_size):
    """Fails for a gather with a gradient through one's own slice, which loses most of the other columns."""
    regularizer, *_ = GOLDEN[name]
    random = torch.Generator().manual_seed(0)
    base = torch.randn(16, 3, generator=random, dtype=torch.float64)
    proxies = torch.randn(2, 3, generator=random, dtype=torch.float64)

    def gradient(size, gathered):
        leaf = base.clone().requires_grad_()
        embeddings = torch.nn.functional.normalize(leaf)
        on_ranks(regularizer, embeddings, proxies, size, gathered).backward()
        return leaf.grad

    one = gradient(1, whole)
    torch.testing.assert_close(gradient(world_size, whole), one, rtol=0, atol=1e-14)
    assert (gradient(world_size, own_slice) - one).norm() > 0.01 * one.norm()


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: ConditionalContrastive(temperature=0.0), "temperature=0.0"),
        (lambda: ConditionalContrastive(temperature=math.nan), "temperature=nan"),
        (lambda: DataToDataCrossEntropy(positive_margin=1.5), "positive_margin=1.5"),
    ],
)
def test_impossible_settings_are_refused(build, key):
    with pytest.raises(UserError, match=key):
        build()
