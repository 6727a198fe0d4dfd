"""Numbers that change with the images seen."""

import math

import pytest
import torch

from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Ramp, bounds, resolved, value_at


@pytest.mark.parametrize(
    ("images", "value"),
    [(0, 2e-4), (5e6, 2e-4 - 1.5e-4 * (1 - math.sqrt(0.5)) / 2), (1e7, 1.25e-4), (2e7, 5e-5), (4e7, 5e-5)],
)
def test_a_cosine_ramp(images, value):
    """R3GAN's learning rate at 0, T/4, T/2, T and 2T."""
    assert Ramp(2e-4, 5e-5, 2e7).at(images).item() == pytest.approx(value, rel=1e-12)


def test_a_linear_ramp_that_is_held_and_warmed_up():
    ramp = Ramp(1, 0, images=100, hold=50, warmup=20, shape="linear")
    values = [ramp.at(n).item() for n in (0, 10, 20, 50, 75, 150, 200)]
    assert values == pytest.approx([0, 0.5, 1, 1, 0.75, 0, 0], abs=1e-12)
    assert bounds(ramp) == (0, 1)


def test_a_value_is_on_the_device_of_the_images():
    seen = torch.tensor(50.0, dtype=torch.float64)
    value = value_at(Ramp(0, 1, 100), seen)
    assert (value.dtype, value.shape, value.item()) == (torch.float64, (), pytest.approx(0.5))
    assert value_at(0.25, seen) == 0.25
    assert resolved([0.0, Ramp(0.9, 0.99, 100)], 100) == [0.0, pytest.approx(0.99)]


@pytest.mark.parametrize("wrong", [{"images": 0}, {"hold": -1}, {"warmup": -1}, {"shape": "square"}])
def test_wrong_ramps_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Ramp(**{"base": 0, "final": 1, "images": 10} | wrong)
