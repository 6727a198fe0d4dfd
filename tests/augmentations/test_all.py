"""Every augmentation of images: affine in them, its gradients, draws that ranks share, and that pairs can share."""

from types import SimpleNamespace

import pytest
import torch

from gan_research.augmentations import ADA, APA, Cutout, DiffAugment
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

FIXED = {"p": 0.7, "target": None}

ALL = {
    "color": DiffAugment(["color"]),
    "translation": DiffAugment(["translation"]),
    "diffaugment": DiffAugment(),
    "cutout": Cutout(p=0.5),
    "ada blits": ADA("b", **FIXED),
    "ada": ADA("bgcfnc", **FIXED),
    "ada as published": ADA("bgcfnc", **FIXED, exact_blit=False),
    "apa": APA(**FIXED),
}


@pytest.mark.parametrize("name", ALL)
def test_it_is_affine_in_the_images_and_its_gradient_is_the_adjoint(name, shown):
    """T(x + u) - T(x) = T(u) - T(0) for each draw, and <T'u, v> = <u, T'v>; APA's gradient is the identity."""
    x, u, v, fakes = (torch.randn(6, 3, 8, 8, dtype=torch.float64) for _ in range(4))
    T = lambda images: shown(ALL[name], images, fakes=fakes)  # noqa: E731
    linear = u if name == "apa" else T(u) - T(torch.zeros_like(u))
    if name != "apa":
        assert torch.allclose(T(x + u) - T(x), linear, atol=1e-10)
    x.requires_grad_()
    (back,) = torch.autograd.grad(T(x), x, v)
    assert (linear * v).sum().item() == pytest.approx((u * back).sum().item(), abs=1e-9)


@pytest.mark.parametrize("name", ["diffaugment", "ada"])
def test_its_second_derivative_is_right(name, shown):
    x = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda images: shown(ALL[name], images).square(), x)


@pytest.mark.parametrize("name", ALL)
def test_ranks_take_their_rows_and_calls_differ(name, numbered, shown, noise):
    fakes = numbered.flip(0)
    whole = shown(ALL[name], numbered, fakes=fakes)
    parts = [shown(ALL[name], numbered[s], drawn=noise(8, s.start, s.stop), fakes=fakes[s]) for s in HALVES]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, shown(ALL[name], numbered, call=1, fakes=fakes))


HALVES = slice(0, 4), slice(4, 8)


@pytest.mark.parametrize("make", [DiffAugment, lambda synced: ADA("bgcfnc", synced=synced, **FIXED), Cutout])
def test_pairs_share_their_transforms_if_synced(make, numbered, shown):
    """A real and its fake; other passes, such as those of views, have their own."""
    for synced in (False, True):
        real, fake = (shown(make(synced=synced), numbered, side, call) for call, side in enumerate(("real", "fake")))
        views = [shown(make(synced=synced), numbered, "view", call) for call in (2, 3)]
        assert torch.equal(real, fake) is synced
        assert not torch.equal(*views)


@pytest.mark.parametrize(("synced", "times"), [(False, 2), (True, 0)])
def test_synced_brightness_cancels_in_the_difference_of_a_pair(synced, times, shown):
    """D(x) = <w, x> of x + b: the variance of D(T real) - D(T fake) is 2 var(b) (sum w)^2, or 0; the mean stays."""
    brightness = ADA("b", **{**FIXED, "p": 1.0}, synced=synced, xflip=0, rotate90=0, xint=0, brightness=1)
    real, fake, w = torch.randn(3, 1, 3, 4, 4, dtype=torch.float64)
    passes = enumerate((("real", real), ("fake", fake)))
    seen = [
        (shown(brightness, x.expand(4000, -1, -1, -1), side, call) * w).sum((1, 2, 3)) for call, (side, x) in passes
    ]
    difference = seen[0] - seen[1]
    expected = times * 0.2**2 * w.sum().item() ** 2
    assert difference.mean().item() == pytest.approx(
        ((real - fake) * w).sum().item(), abs=4 * (expected / 4000) ** 0.5 + 1e-9
    )
    assert difference.var().item() == pytest.approx(expected, rel=0.09, abs=1e-20)


def game_on(samples):
    return SimpleNamespace(networks={"discriminator": SimpleNamespace(samples=samples)})


@pytest.mark.parametrize("augmentation", [DiffAugment(), ADA(), Cutout()])
def test_points_are_refused_and_other_ranges_warned_of(augmentation, caplog):
    with pytest.raises(UserError, match="points"):
        augmentation.check(game_on(SampleSpec(None, 2, value_range=(-float("inf"), float("inf")))))
    augmentation.check(game_on(SampleSpec(8, 3)))
    assert not caplog.records
    augmentation.check(game_on(SampleSpec(8, 3, value_range=(0, 1))))
    assert "0 to 1" in caplog.text


def test_what_ada_cannot_do_is_warned_of_once(caplog):
    ADA().check(game_on(SampleSpec(8, 4)))
    ADA("bg").check(game_on(SampleSpec(8, 4)))
    ADA(p=0.9, target=None).check(game_on(SampleSpec(8, 1)))
    assert ["channels" in record.message for record in caplog.records] == [True, False]
    assert "leak" in caplog.records[1].message
