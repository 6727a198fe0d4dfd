"""Feature matching in closed form."""

import pytest
import torch
from moments import Quadratic, moment

from gan_research.networks.base import DOutput
from gan_research.regularizers import FeatureMatching, Side
from gan_research.utils.errors import UserError


def step_of(real, fake):
    step = moment(Quadratic(0.0), player="generator")
    sides = [Side(None, None, DOutput(x[:, 0].float(), x)) for x in (real, fake)]
    return step.__class__(**{**vars(step), "real": sides[0], "fake": sides[1]})


REAL = torch.tensor([[1.0, 2.0, 0.0], [3.0, -2.0, 4.0]])
FAKE = torch.tensor([[0.0, 1.0, 2.0], [2.0, 1.0, 6.0]])  # mean differences -1, 1, 2


@pytest.mark.parametrize(("norm", "expected", "slope"), [("l1", 4 / 3, (-1, 1, 1)), ("l2", 6 / 3, (-2, 2, 4))])
def test_it_is_a_distance_of_means_and_the_reals_are_constants(norm, expected, slope):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    value = FeatureMatching(norm=norm).penalty(step_of(real, fake))
    assert value.item() == pytest.approx(expected, rel=1e-6)
    in_real, in_fake = torch.autograd.grad(value, (real, fake), materialize_grads=True)
    assert torch.equal(in_real, torch.zeros(2, 3))
    torch.testing.assert_close(in_fake, torch.tensor(slope).expand(2, 3) / (2 * 3))


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_batches_of_equal_means_are_at_no_distance(norm):
    assert FeatureMatching(norm=norm).penalty(step_of(REAL, REAL.flip(0))).item() == 0


def test_half_precision_features_are_averaged_in_that_of_the_logits():
    value = FeatureMatching().penalty(step_of(REAL.bfloat16() + 100, FAKE.bfloat16()))
    assert value.dtype == torch.float32


def test_an_unknown_norm_is_refused():
    with pytest.raises(UserError, match="feature_matching: norm=l3: set it to l1 or l2"):
        FeatureMatching(norm="l3")


def test_the_reals_are_those_of_the_generators_update(play):
    """The generator's update sees D(real) on its own minibatch, without a graph."""
    seen = []

    class Watch(FeatureMatching):
        def penalty(self, step):
            seen.append((step.real.out.features.requires_grad, step.real.images.shape == step.fake.images.shape))
            return super().penalty(step)

    play(rounds=2, regularizers={"it": Watch()})
    assert seen == [(False, True)] * 2
