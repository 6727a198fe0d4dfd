"""Terms gathered on the device."""

import pytest
import torch

from gan_research.training.loss_log import Diverged, LossLog
from gan_research.utils.errors import UserError

NAN, INF = float("nan"), float("inf")


def add(log, name, value, round):
    """Log a value in a round."""
    log.round = round
    log.add(name, value)


def filled(rounds=3):
    log = LossLog(every=rounds)
    for round in range(1, rounds + 1):
        add(log, "loss/discriminator", torch.tensor(float(round)), round)
        add(log, "logits/real", torch.tensor([round, 10.0 * round]), round)
        add(log, "logits/real", torch.tensor([0.0, 1.0]), round)
    add(log, "gradient_norm/generator", torch.tensor(7.0), rounds)
    return log


def test_means_over_the_interval():
    values = filled().flush()
    assert {name: v.mean().item() for name, v in values.items()} == pytest.approx(
        {"loss/discriminator": 2.0, "logits/real": (6 + 60 + 3) / 12, "gradient_norm/generator": 7.0}, rel=1e-6
    )
    assert values["logits/real"].tolist() == [1, 10, 0, 1, 2, 20, 0, 1, 3, 30, 0, 1]
    assert all(v.dtype == torch.float32 and v.device.type == "cpu" for v in values.values())


def test_a_flush_begins_a_new_interval():
    log = filled()
    log.flush()
    assert log.flush() == {}
    add(log, "loss/discriminator", torch.tensor(8.0), 4)
    assert {name: v.tolist() for name, v in log.flush().items()} == {"loss/discriminator": [8.0]}


def test_the_interval_counts_rounds_from_1():
    assert [round for round in range(1, 13) if LossLog(every=5).due(round)] == [5, 10]
    assert [round for round in range(1, 13) if LossLog(every=5, last=12).due(round)] == [5, 10, 12]
    with pytest.raises(UserError, match="log_every=0: give an interval of at least 1 round"):
        LossLog(every=0)


@pytest.mark.parametrize(("value", "kind"), [(NAN, "NaN"), (INF, "infinite"), (-INF, "infinite")])
@pytest.mark.parametrize("name", ["loss/discriminator", "loss/r1", "logits/fake", "gradient_norm/discriminator"])
def test_what_is_not_finite_is_named_with_its_round(name, value, kind):
    log = filled()
    add(log, name, torch.tensor([1.0, value]), 4)
    add(log, "aaa", torch.tensor(NAN), 5)
    with pytest.raises(Diverged, match=rf"^round 4: {name} is {kind}, training stopped$"):
        log.flush()


def test_the_first_to_be_recorded_is_blamed_not_what_follows_from_it():
    log = LossLog()
    add(log, "logits/real", torch.tensor(0.0), 1)  # first update: a penalty breaks the weights
    add(log, "loss/r1", torch.tensor(NAN), 1)
    add(log, "logits/real", torch.tensor(NAN), 1)  # second update
    with pytest.raises(Diverged, match="round 1: loss/r1 is NaN"):
        log.check(1)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_check_finds_a_loss_of_any_update_of_the_round(position):
    log = LossLog()
    for update in range(3):
        add(log, "loss/discriminator", torch.tensor(INF if update == position else 1.0), 1)
    add(log, "loss/generator", torch.tensor(1.0), 1)
    with pytest.raises(Diverged, match="round 1: loss/discriminator is infinite"):
        log.check(1)


def test_check_passes_a_finite_round_and_keeps_it():
    log = filled()
    log.check(3)
    log.check(4)
    assert len(log.flush()["loss/discriminator"]) == 3


def test_large_values_are_not_taken_for_infinite():
    log = LossLog()
    for value in (3e38, 3e38):
        add(log, "loss/discriminator", torch.tensor(value), 1)
    assert log.flush()["loss/discriminator"].tolist() == pytest.approx([3e38, 3e38], rel=1e-6)


def test_state_survives_a_checkpoint(tmp_path):
    log, fresh = filled(), LossLog(every=3)
    torch.save(log.state_dict(), tmp_path / "state")
    fresh.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    for continued in (log, fresh):
        add(continued, "loss/discriminator", torch.tensor(9.0), 4)
    first, second = log.flush(), fresh.flush()
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


class OnDevice(torch.Tensor):
    """A tensor that says when it is copied to the host, or computed with."""

    calls: list[str]

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        OnDevice.calls.append(getattr(function, "__name__", str(function)))
        return super().__torch_function__(function, types, args, kwargs)


def test_adding_does_nothing_but_detach():
    OnDevice.calls = []
    value = torch.ones(3, requires_grad=True).mul(2).as_subclass(OnDevice)
    log = LossLog()
    OnDevice.calls = []
    add(log, "loss/discriminator", value, 1)
    assert OnDevice.calls == ["detach"]
    assert not log.flush()["loss/discriminator"].requires_grad


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_came_from_a_checkpoint_joins_what_is_on_the_device():
    log = LossLog()
    log.load_state_dict(filled().state_dict())
    add(log, "loss/discriminator", torch.tensor(9.0, device="cuda"), 4)
    assert log.flush()["loss/discriminator"].tolist() == [1, 2, 3, 9]
