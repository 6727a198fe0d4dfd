"""What a run costs: counted by hand for small networks, measured by a clock that the tests move."""

import json
import os
import tempfile
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch

from gan_research.augmentations import InstanceNoise
from gan_research.callbacks import SampleGrid
from gan_research.config.compose import compose_train
from gan_research.cost import estimate
from gan_research.cost.estimate import PARTS, in_all
from gan_research.cost.intervals import how_often, on_line
from gan_research.cost.operations import SavedBytes
from gan_research.cost.rounds import kinds_of
from gan_research.data import Digits
from gan_research.regularizers import R1
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError

LATENTS, WIDTH, PIXELS, BATCH = 32, 16, 64, 8
SMALL = (
    "trainer=cpu", "logger=none", "generator.width=16", "discriminator.width=16", "generator.depth=1",
    "discriminator.depth=1", "batch_size=8", "rounds=100", "log_every=5",
)  # fmt: skip


def products(*sizes):
    """2 N in out of each linear layer: what one pass, or the gradients of one kind, take."""
    return [2 * BATCH * a * b for a, b in pairwise(sizes)]


G, D = products(LATENTS, WIDTH, PIXELS), products(PIXELS, WIDTH, 1)
D_UPDATE = sum(G) + 2 * (3 * sum(D) - D[0])
"""Fakes without a graph; D forward on reals and fakes, gradients of weights, and of inputs but those of the samples."""
G_UPDATE = 3 * sum(G) - G[0] + 2 * sum(D)
"""G as above, but for gradients in latents; D forward, and gradients of its inputs only, as it is frozen."""
R1_PENALTY = D[0] + sum(D) + 2 * sum(D) - D[-1]
"""The loss's gradient in the reals, too; the logits' gradient in the reals; the backward of that, in weights and
slopes (that of the logits is constant)."""

R1_STEP = 4 * sum(D) - D[-1] + 2 * D[0]
"""D forward on reals, the logits' gradient in them, and the backward of that: also through the activation's slope,
which here is constant, in the first layer's weights and the reals."""


def cost_of(*overrides, seconds=0.3, **more):
    return estimate(compose_train([*SMALL, *overrides]), seconds=seconds, **more)


@pytest.fixture(scope="module")
def cost():
    """Of the demo, made small."""
    return cost_of("metrics.num_samples=100")


def test_parameters_are_exact(cost):
    generator = LATENTS * WIDTH + WIDTH + WIDTH * PIXELS + PIXELS
    discriminator = PIXELS * WIDTH + WIDTH + WIDTH + 1
    assert cost["parameters"] == {
        "discriminator": {"trainable": discriminator, "total": discriminator},
        "generator": {"trainable": generator, "total": generator},
    }
    both = 4 * (generator + discriminator)
    steps = 4 * 8  # Adam counts its steps for each of 8 tensors
    assert cost["memory_bytes_of"]["parameters"] == cost["memory_bytes_of"]["gradients"] == both
    assert cost["memory_bytes_of"]["optimizers"] == 2 * both + steps
    assert cost["memory_bytes_of"]["ema"] == 4 * generator
    assert cost["memory_bytes_of"]["data"] == 1797 * (PIXELS + 8)  # bytes of pixels, int64 of labels


def test_operations_are_exact(cost):
    assert cost["flops_per_round_of"] == {"discriminator": D_UPDATE, "generator": G_UPDATE, "regularizers": R1_PENALTY}
    assert cost["flops_per_round"] == D_UPDATE + G_UPDATE + R1_PENALTY
    assert cost["flops_total"] == 100 * cost["flops_per_round"]


def test_operations_of_lazy_penalties_and_other_schedules_are_exact():
    lazy = cost_of("regularizer.r1.every=4", "schedule.discriminator_steps=2", "metrics=none")
    assert lazy["flops_per_round_of"] == {
        "discriminator": 2 * D_UPDATE,
        "generator": G_UPDATE,
        "regularizers": 2 * R1_PENALTY / 4,
    }
    assert lazy["updates"] == {"discriminator": 200, "generator": 100}
    assert lazy["kimg"] == 1.6
    words = "regularizer.r1.every=4", "regularizer.r1.own_step=true", "schedule.first=generator"
    own = cost_of(*words, "metrics=none")["flops_per_round_of"]
    assert own == {"discriminator": D_UPDATE, "generator": G_UPDATE, "regularizers": R1_STEP / 4}
    bare = cost_of("regularizer=none", "schedule=simultaneous", "metrics=none")
    assert bare["flops_per_round_of"] == {"discriminator+generator": D_UPDATE + G_UPDATE - sum(G), "regularizers": 0}
    assert bare["shares"]["regularizers"] == 0


def test_the_shares_are_of_the_whole(cost):
    assert tuple(cost["shares"]) == PARTS
    assert sum(cost["shares"].values()) == pytest.approx(1, abs=1e-9)
    assert sum(cost["seconds_of"].values()) == pytest.approx(cost["seconds_total"], rel=1e-9)
    assert all(share >= 0 for share in cost["shares"].values())
    (low, high), (total_low, total_high) = cost["seconds_per_round_quartiles"], cost["seconds_total_quartiles"]
    assert low <= cost["seconds_per_round"] <= high
    assert total_low <= cost["seconds_total"] <= total_high
    assert cost["evaluation"]["count"] == 2
    assert cost["evaluation"]["samples"] == cost["evaluation"]["samples_measured"] == 100
    assert cost["shares"]["evaluation"] * cost["seconds_total"] == pytest.approx(2 * cost["evaluation"]["seconds_each"])


def test_plain_values_say_their_units(cost):
    plain = json.loads(json.dumps(cost))
    assert {"flops_per_round", "memory_bytes", "seconds_per_round", "seconds_total", "kimg", "shares"} <= set(plain)
    assert plain["memory_bytes"] == sum(plain["memory_bytes_of"].values())
    assert plain["seconds_total_quartiles"][0] <= plain["seconds_total"]


def takes(monkeypatch, clock, owner, name, seconds):
    """A method that takes so long by the clock."""
    method = getattr(owner, name)

    def slow(self, *arguments):
        clock.seconds += seconds
        return method(self, *arguments)

    monkeypatch.setattr(owner, name, slow)


def test_time_is_found_where_it_is_spent(monkeypatch):
    clock = SimpleNamespace(seconds=0.0, perf_counter=lambda: clock.seconds)
    for function in estimate, kinds_of:
        monkeypatch.setitem(function.__globals__, "time", clock)
    takes(monkeypatch, clock, R1, "penalty", 0.01)
    takes(monkeypatch, clock, Digits, "ready", 0.005)
    takes(monkeypatch, clock, SampleGrid, "act", 0.05)
    cost = cost_of("sample_every=10", "metrics=none", seconds=0.5)
    assert cost["seconds_per_round"] == pytest.approx(0.015)
    assert cost["seconds_of"]["regularizers"] == pytest.approx(100 * 0.01)
    assert cost["seconds_of"]["data"] == pytest.approx(100 * 0.005)
    assert cost["logging_seconds_of"]["SampleGrid"] == pytest.approx(11 * 0.05)  # before the first round, and ten times


def test_nothing_is_left_behind(monkeypatch, tmp_path):
    (temporary := tmp_path / "temporary").mkdir()
    (here := tmp_path / "here").mkdir()
    (cache := tmp_path / "cache").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("GAN_RESEARCH_CACHE", str(cache))
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.chdir(here)
    environment, state = dict(os.environ), torch.get_rng_state()
    words = ("logger=[wandb,csv]", "logger.wandb.sample_rows=0")  # W&B keeps a table's folder until the process ends
    cost = cost_of(*words, "metrics.num_samples=100", rounds=10)
    assert cost["rounds_measured"] >= 10
    assert set(cost["logging_seconds_of"]) == {"Log", "SampleGrid", "Checkpoints", "ends"}
    assert torch.equal(torch.get_rng_state(), state)
    assert dict(os.environ) == environment
    for folder in (temporary, here, cache):
        assert list(folder.iterdir()) == []


def test_an_evaluation_that_cannot_be_had_is_a_note(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    composition = compose_train([*SMALL, "metrics=inception"])
    cost = estimate(composition, seconds=0.2)
    assert cost["evaluation"] is None
    assert cost["shares"]["evaluation"] == 0
    (note,) = cost["notes"]
    assert note.startswith("evaluation not measured: ")


def test_what_cannot_be_played_is_an_error():
    with pytest.raises(UserError, match=r"num_samples of at least 100, not 50"):
        cost_of("metrics.num_samples=50")
    with pytest.raises(UserError, match=r"diverges"):
        cost_of("optimizer.discriminator.lr=1e30", "optimizer=sgd", "metrics=none")
    with pytest.raises(UserError, match=r"trainer\.devices=1"):
        cost_of("trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2")
    with pytest.raises(UserError, match=r"at least 1 round"):
        cost_of(rounds=0)


def test_kinds_of_rounds_differ_in_the_penalties_that_are_due(game):
    def kinds(**components):
        gan = game(**components)
        return [(kind.round, kind.share, kind.components["regularizers"] != {}) for kind in kinds_of(gan, 100)]

    assert kinds(regularizers={"r1": R1()}) == [(0, 1.0, True), (0, 0.0, False)]
    assert kinds(regularizers={"r1": R1(every=4)}) == [(0, 0.25, True), (1, 0.75, False)]
    assert kinds() == [(0, 1.0, False)]
    noise, twice = {"noise": InstanceNoise()}, Schedule(discriminator_steps=2)
    both = {"regularizers": {"r1": R1(every=4)}, "augmentations": noise, "schedule": twice}
    assert kinds(**both) == [(0, 0.5, True), (1, 0.5, True), (0, 0.0, False)]


def test_a_game_is_set_up_without_regularizers_and_with_them_again(game):
    gan = game(regularizers={"r1": R1()}, augmentations={"noise": InstanceNoise()})
    whole, bare = kinds_of(gan, 100)
    bare.set(gan)
    assert gan.objective.augmentations == {}
    assert gan.objective.due("discriminator", 0) == []
    whole.set(gan)
    assert set(gan.objective.augmentations) == {"noise"}
    assert [name for name, _ in gan.objective.due("discriminator", 0)] == ["r1"]


def test_bytes_kept_for_backward_are_counted_once_and_let_go():
    weights = torch.ones(1000, requires_grad=True)
    inputs = torch.ones(1000)
    with (saved := SavedBytes([weights])):
        (weights * inputs * inputs).exp().sum().backward()  # inputs, twice; the exponential
        assert saved.peak == 2 * 4000
        (weights * inputs).sum().backward()
    assert saved.peak == 2 * 4000


def test_callbacks_act_before_the_first_round_and_after_the_last():
    assert how_often(10, 100) == 11
    assert how_often(30, 100) == 5


def test_several_evaluations_add_up():
    each = {"reference_seconds": 1.0, "samples": 100, "samples_measured": 50}
    found = in_all([3, 1], [each | {"seconds_each": 2.0}, each | {"seconds_each": 6.0}])
    assert found == {"count": 4, "seconds_each": 3.0, "reference_seconds": 2.0, "samples": 200, "samples_measured": 100}


def test_evaluations_are_scaled_on_a_line():
    assert on_line([(10, 2.0)], 100) == 20
    assert on_line([(10, 2.0), (40, 5.0)], 100) == pytest.approx(11)
    assert on_line([(10, 2.0), (40, 1.0)], 100) == 1.0
