"""APA: which reals are replaced, D*, labels of pseudo-fakes, and penalties at them."""

import pytest
import torch

from gan_research.augmentations import APA
from gan_research.losses import NonSaturating
from gan_research.utils.errors import UserError


def test_the_best_d_is_that_of_the_mixture(shown):
    """On tables: logit = log p' / q with p' = (1 - a) p + a q (Jiang et al. 2021, section 3.3)."""
    p, q, share, n = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.2, 0.3, 0.5]), 0.3, 200_000
    reals, fakes = (torch.arange(3.0).repeat_interleave((mass * n).round().long())[:, None] for mass in (p, q))
    seen = shown(APA(p=share, target=None), reals, fakes=fakes[torch.randperm(n)])
    mixture = torch.stack([(seen == state).double().mean() for state in range(3)])
    logits = NonSaturating().theory().optimal_logit(mixture, q.double())
    assert logits.tolist() == pytest.approx([1.011601, -0.265703, -0.820981], abs=0.012)


def test_only_reals_are_replaced(numbered, shown):
    fakes = -numbered
    for side in ("fake", "view", "mixed"):
        assert torch.equal(shown(APA(p=0.5, target=None), numbered, side, fakes=fakes), numbered)
    for p in (0.0, 1.0):
        assert torch.equal(shown(APA(p=p, target=None), numbered, fakes=fakes), fakes if p else numbered)


@pytest.mark.parametrize("labels", ["fake", "real"])
def test_replaced_reals_have_the_label_of_the_fake(labels, numbered, shown):
    """In the published code they keep the real's, which is label noise for a conditional D."""
    classes = {"condition": torch.zeros(8, dtype=torch.long), "fake_condition": torch.arange(1, 9)}
    returned = shown(APA(p=0.5, target=None, labels=labels), numbered, fakes=-numbered, **classes)
    if labels == "real":
        assert isinstance(returned, torch.Tensor)
        return
    images, condition, _ = returned
    is_replaced = (images < 0).flatten(1).all(1)
    assert 0 < is_replaced.sum() < 8
    assert torch.equal(condition, torch.where(is_replaced, torch.arange(1, 9), 0))


def test_penalties_are_taken_at_the_mixed_batch(numbered, shown):
    """The gradient of D(x) = |x|^2 / 2 in the reals is what D gets, also where it is a fake."""
    reals = numbered.clone().requires_grad_()
    seen = shown(APA(p=0.5, target=None), reals, fakes=-numbered)
    (gradient,) = torch.autograd.grad(seen.square().sum() / 2, reals)
    assert torch.equal(gradient, seen)
    assert (seen < 0).any()


def test_unknown_labels_are_refused():
    with pytest.raises(UserError, match="fake"):
        APA(labels="fakes")
