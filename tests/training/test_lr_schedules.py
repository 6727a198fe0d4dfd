"""Rates that decay while the momentum rises."""

import pytest
import torch

from gan_research.training.lr_schedules import DecayWithMomentum
from gan_research.utils.errors import UserError


def optimizer(cls=torch.optim.SGD, **more):
    return cls([torch.nn.Parameter(torch.zeros(1))], lr=0.1, **({"momentum": 0.5} if cls is torch.optim.SGD else more))


def played(schedule, rounds):
    for _ in range(rounds):
        schedule.optimizer.step()
        schedule.step()
    group = schedule.optimizer.param_groups[0]
    return group["lr"], group["momentum"]


@pytest.mark.parametrize(
    ("epoch", "momentum"), [(1, 0.5), (2, 0.5 + 0.2 / 249), (125, 0.5 + 0.2 * 124 / 249), (250, 0.7), (300, 0.7)]
)
@pytest.mark.parametrize("at", [0, 3])
def test_values_are_those_of_pylearn2(epoch, momentum, at):
    """Of epochs of 4 rounds: the momentum is that of the epoch, the rate that of the round."""
    round = 4 * (epoch - 1) + at
    found = played(DecayWithMomentum(optimizer(), epoch=4), round)
    assert found == pytest.approx((0.1 / 1.000004**round, momentum), rel=1e-12)


def test_the_rate_has_a_floor():
    assert played(DecayWithMomentum(optimizer(), decay=2.0, min_lr=0.01), 20)[0] == 0.01


@pytest.mark.parametrize("cut", [0, 3, 7, 11])
def test_a_resumed_schedule_goes_on(cut):
    def made():
        return DecayWithMomentum(optimizer(), decay=1.1, saturate=5, epoch=2)

    whole = made()
    expected = [played(whole, 1) for _ in range(14)]
    before, after = made(), made()
    assert [played(before, 1) for _ in range(cut)] == expected[:cut]
    after.optimizer.load_state_dict(before.optimizer.state_dict())
    after.load_state_dict(before.state_dict())
    assert [played(after, 1) for _ in range(14 - cut)] == expected[cut:]


def test_the_momentum_of_adam_is_its_first_beta():
    adam = optimizer(torch.optim.Adam, betas=(0.5, 0.99))
    schedule = DecayWithMomentum(adam, saturate=2, epoch=1)
    assert adam.param_groups[0]["betas"] == (0.5, 0.99)
    adam.step()
    schedule.step()
    assert adam.param_groups[0]["betas"] == (0.7, 0.99)


def test_what_makes_no_schedule_is_one_line():
    with pytest.raises(UserError, match="saturate=1 more than start=1"):
        DecayWithMomentum(optimizer(), saturate=1)
    with pytest.raises(UserError, match="no momentum to schedule"):
        DecayWithMomentum(optimizer(torch.optim.Adagrad))
