"""The controller of ADA and APA: how fast p moves, where it stops, and what it counts."""

from types import SimpleNamespace

import pytest
import torch

from gan_research.augmentations import ADA, APA
from gan_research.regularizers import R1, Progress
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Ramp


def update(augmentation, *parts, images=64, log=lambda name, value: None):
    """An update of D of micro-batches with these logits, and one of G."""
    for logits in parts:
        out = SimpleNamespace(logits=torch.as_tensor(logits))
        real = SimpleNamespace(out=out, images=torch.empty(images, 1))
        augmentation.update(SimpleNamespace(real=real, log=log, progress=Progress.zeros()))
    augmentation.after_step("discriminator")
    augmentation.after_step("generator")


SURE, UNSURE = torch.ones(64), -torch.ones(64)


def test_p_is_1_after_500_kimg():
    """Every 4 updates of 64 images p rises by 256 / 500,000: to 1 at the 1954th time, after 500.2 kimg."""
    ada = ADA(p=1950 * 256 / 500_000)
    for _ in range(4 * 3 + 3):
        update(ada, SURE)
    assert ada.probability.item() == pytest.approx(1953 * 256 / 500_000, abs=1e-12)
    update(ada, SURE)
    assert ada.probability.item() == 1
    assert (1950 * 4 + ada.updates.item()) * 64 == 500_224


def test_p_stays_in_0_to_1_and_turns_at_once():
    """The published code clips at 0 only: p winds up above 1, and must come back."""
    ada = ADA(p=0.9, kimg=0.64, every=1)  # steps of 0.1
    seen = []
    for logits in [SURE] * 4 + [UNSURE] * 12 + [SURE]:
        update(ada, logits)
        seen.append(ada.probability.item())
    assert seen == pytest.approx([1] * 4 + [0.1 * max(0, 9 - i) for i in range(12)] + [0.1])


def test_r_t_is_the_mean_sign_since_the_last_adjustment():
    """Over updates and micro-batches, all of the same weight for each real; at the target p stays."""
    ada = ADA(target=0.5, kimg=1.28, every=2)  # steps of 0.1 for 128 images
    update(ada, 1000 * torch.ones(64))
    assert ada.probability.item() == 0
    update(ada, torch.tensor([1.0, -9, 3, -2]))  # mean sign 0: r_t = 0.5
    assert ada.probability.item() == 0
    update(ada, SURE[:32], SURE[:32], images=32)
    assert ada.totals.tolist() == [64, 64]
    update(ada, [1.0, 1, 1, -1])  # r_t = 0.75
    assert ada.probability.item() == pytest.approx(0.1)
    assert ada.totals.tolist() == [0, 0]
    update(ada, torch.ones(64, 3) * torch.tensor([3.0, 1, -5]))  # the sign of a sample's mean logit
    assert ada.totals.tolist() == [-64, 64]


def test_p_and_r_t_are_logged():
    logged = {}
    update(ADA(p=0.3), torch.tensor([1.0, -1, 1, 1]), log=logged.__setitem__)
    assert {name: value.item() for name, value in logged.items()} == {"augment/p": 0.3, "augment/r_t": 0.5}
    logged = {}
    update(APA(p=0.3), UNSURE, log=logged.__setitem__)
    assert logged.keys() == {"augment/apa_p", "augment/r_t"}
    update(ADA(p=0.3, target=None), UNSURE, log=lambda *_: pytest.fail("a constant is logged"))


def test_reals_of_penalties_are_not_counted(play):
    """Public code counts those of R1's pass too, and p moves faster with R1."""
    for regularizers in ({}, {"r1": R1(1.0)}):
        ada = ADA(kimg=0.1, every=8)
        play(rounds=5, augmentations={"ada": ada}, regularizers=regularizers)
        assert (ada.updates.item(), ada.totals[1].item()) == (5, 20)
        play(rounds=8, augmentations={"ada": ada}, regularizers=regularizers, precision="bf16")  # a pass of its own
        assert ada.totals[1].item() == 20  # 8 more updates: one adjustment on the way


def test_a_fixed_p_may_be_a_ramp(noise):
    ada = ADA(p=Ramp(0.2, 0.6, images=1000, shape="linear"), target=None)
    for seen, expected in ((0, 0.2), (500, 0.4), (1000, 0.6), (5000, 0.6)):
        progress = Progress.zeros()
        progress.set(1, seen, 10)
        assert float(ada.chance(SimpleNamespace(progress=progress))) == pytest.approx(expected)
    for _ in range(8):
        update(ADA(p=0.4, target=None), SURE)
    assert float(ADA(p=0.4, target=None).chance(SimpleNamespace(progress=progress))) == 0.4
    with pytest.raises(UserError, match="target=null"):
        ADA(p=Ramp(0, 1, images=1000))
    with pytest.raises(UserError, match="p="):
        ADA(p=Ramp(0, 1.2, images=1000), target=None)
