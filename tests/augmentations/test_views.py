"""The views of consistency regularization: only flips and shifts, mirrored at the border, and how often each comes."""

import pytest
import torch
from torch.nn.functional import pad

from gan_research.regularizers.views import flip_and_shift


def candidates(image, most):
    """(flip, down, right) -> every view that an image (C, H, W) can have."""
    height, width = image.shape[1:]
    views = {}
    for flip in (False, True):
        padded = pad(image.flip(-1) if flip else image, (most,) * 4, mode="reflect")
        for down in range(-most, most + 1):
            for right in range(-most, most + 1):
                top, left = most - down, most - right
                views[flip, down, right] = padded[:, top : top + height, left : left + width]
    return views


@pytest.mark.parametrize(("shift", "most"), [(1 / 8, 1), (0.3, 2)])
def test_a_view_is_a_flip_and_a_shift_with_reflected_border(shift, most, numbered, noise):
    expected = candidates(numbered[0], most)
    views = flip_and_shift(numbered[:1].expand(800, -1, -1, -1), noise(800), "cr", shift)
    moves = [move for view in views.unique(dim=0) for move, x in expected.items() if torch.equal(view, x)]
    assert sorted(moves) == sorted(expected)


def test_flips_and_shifts_are_uniform(noise):
    """At 32 pixels: shifts of -4 to 4, each in a ninth of the images, and a flip in half of them."""
    ramp = torch.arange(32.0).expand(3600, 1, 32, 32)
    view = flip_and_shift(ramp, noise(3600), "cr")[:, 0, 16]
    flipped = view[:, 16] < view[:, 15]
    shifts = torch.where(flipped, view[:, 16] - 15, 16 - view[:, 16])
    counts = torch.stack([(shifts == s).sum() for s in range(-4, 5)])
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.034)  # 4 standard errors
    assert counts.sum() == 3600
    assert ((counts - 400).square() / 400).sum().item() < 26.1  # chi-squared of 8 degrees, 0.1 %


def test_ranks_take_their_rows_and_purposes_differ(numbered, noise):
    whole = flip_and_shift(numbered, noise(), "cr")
    parts = [flip_and_shift(numbered[i : i + 4], noise(start=i, stop=i + 4), "cr") for i in (0, 4)]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, flip_and_shift(numbered, noise(), "bcr"))
