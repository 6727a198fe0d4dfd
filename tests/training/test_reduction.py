"""Top-k: its selection, its schedule, and what it refuses."""

from types import SimpleNamespace

import pytest
import torch

from gan_research.networks.base import DOutput
from gan_research.regularizers import Progress, Side
from gan_research.training.reduction import Mean, TopK
from gan_research.utils.errors import UserError


def step_of(logits, images_seen=0, player="generator", logged=None):
    progress = Progress.zeros()
    progress.set(0, images_seen, 10)
    log = lambda name, value: None if logged is None else logged.append((name, value.item()))  # noqa: E731
    fake = Side(None, None, DOutput(logits, None))
    return SimpleNamespace(player=player, fake=fake, progress=progress, log=log)


def test_the_selected_fakes_are_those_of_topk_and_only_they_have_a_gradient():
    random = torch.Generator().manual_seed(0)
    logits, losses = torch.randn(40, generator=random), torch.randn(40, generator=random).requires_grad_()
    logged = []
    value = TopK(gamma=0.5, nu=0.1, epoch_images=100)(losses, step_of(logits, images_seen=250, logged=logged))
    best = logits.topk(10).indices
    assert value.item() == pytest.approx(losses[best].mean().item(), rel=1e-6)
    (slope,) = torch.autograd.grad(value, losses)
    expected = torch.zeros(40).index_fill(0, best, 0.1)
    assert torch.equal(slope, expected)
    assert logged == [("top_k/k", 10)]


def test_k_is_exact_among_equal_logits_and_one_at_least():
    losses = torch.arange(4.0)
    assert TopK(nu=0.5, gamma=0.5, epoch_images=1)(losses, step_of(torch.zeros(4), 9)).item() == 0.5
    assert TopK(nu=0.01, gamma=0.01, epoch_images=1)(losses, step_of(losses, 9)).item() == 3


def test_all_fakes_are_kept_in_the_first_epoch_and_by_the_discriminator():
    losses, logits = torch.randn(8), torch.randn(8)
    expected = pytest.approx(Mean()(losses, None).item(), abs=1e-7)
    assert TopK()(losses, step_of(logits, 49_999)).item() == expected
    assert TopK(gamma=1.0)(losses, step_of(logits, 10**9)).item() == expected
    assert TopK(gamma=0.5)(losses, step_of(logits, 10**9, player="discriminator")).item() == expected


def test_the_schedule_of_the_paper():
    """64 * 0.99^epoch, down to half of them, which is reached after 69 epochs; a function of images seen."""
    top_k, k = TopK(), {0: 64, 1: 63, 2: 62, 10: 57, 68: 32, 69: 32, 500: 32}
    for epoch, expected in k.items():
        for images in (50_000 * epoch, 50_000 * epoch + 49_999):
            assert top_k.kept(64, torch.tensor(float(images), dtype=torch.float64)).item() == expected
    assert 64 * 0.99**68 > 32 > 64 * 0.99**69
    assert TopK(gamma=0.29).kept(100, torch.tensor(5e4, dtype=torch.float64)).item() == 50
    assert TopK(gamma=0.29, nu=0.1).kept(100, torch.tensor(5e4, dtype=torch.float64)).item() == 29


def test_micro_batches_are_refused(game):
    with pytest.raises(UserError, match=r"TopK needs the whole minibatch, which accumulation=2 splits"):
        game(reduction=TopK(), accumulation=2)


@pytest.mark.parametrize("wrong", [{"gamma": 0.0}, {"gamma": 1.01}, {"nu": 0.0}, {"nu": 1.5}, {"epoch_images": 0}])
def test_impossible_shares_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=f"top_k: {name}={value}: set it to"):
        TopK(**wrong)
