"""Penalties in an optimizer step of their own: `own_step` of regularizers."""

from functools import partial

import pytest
import torch

from gan_research.augmentations import APA, InstanceNoise
from gan_research.losses import Minimax, NonSaturating, Relativistic
from gan_research.regularizers import R1, R2, ZCR, Drift, LeCam, Orthogonal, Regularizer, WeightClipping
from gan_research.testing.checks import CHECKS, Case, check_ranks
from gan_research.training.optimization import updates_per_step
from gan_research.training.refinement import LOGAN
from gan_research.training.schedule import Schedule
from gan_research.training.unrolling import Unrolling
from gan_research.utils.ramps import Ramp

ADAM = partial(torch.optim.Adam, lr=0.0025, betas=(0.0, 0.99))


class Size(Regularizer):
    """The mean square of fakes, for G; keeps the steps."""

    players = ("generator",)

    def __init__(self, weight=1.0, every=1, own_step=True):
        super().__init__(weight, every, own_step)
        self.steps = []

    def penalty(self, step):
        self.steps.append(step)
        return step.fake.images.square().flatten(1).mean(1)


class Watch(Regularizer):
    """Keeps the steps of D."""

    def __init__(self):
        super().__init__(weight=0.0)
        self.steps = []

    def penalty(self, step):
        self.steps.append(step)
        return step.fake.out.logits


class WatchedR1(R1):
    """R1 that keeps its steps."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.steps = []

    def penalty(self, step):
        self.steps.append(step)
        return super().penalty(step)


# Learning rate and betas


def test_the_optimizer_is_corrected_as_in_the_code_of_stylegan2(play):
    """Interval 16 of D and 4 of G, from lr 0.0025 and beta2 0.99."""
    gan = play(rounds=1, optimizer=ADAM, regularizers={"r1": R1(every=16, own_step=True), "size": Size(every=4)})
    groups = {player: optimizer.optimizer.param_groups[0] for player, optimizer in gan.player_optimizers.items()}
    assert groups["discriminator"]["lr"] == pytest.approx(0.0025 * 0.941176, rel=1e-6)
    assert groups["discriminator"]["betas"] == pytest.approx((0, 0.990585), abs=5e-7)
    assert groups["generator"]["lr"] == pytest.approx(0.0025 * 0.8)
    assert groups["generator"]["betas"] == pytest.approx((0, 0.991992), abs=5e-7)
    assert gan.player_optimizers.learning_rates() == pytest.approx(
        {"discriminator": 0.0025 * 16 / 17, "generator": 0.002}
    )


def test_without_an_own_step_nothing_is_corrected(play):
    gan = play(rounds=1, optimizer=ADAM, regularizers={"r1": R1(every=16)})
    for optimizer in gan.player_optimizers.values():
        group = optimizer.optimizer.param_groups[0]
        assert (group["lr"], group["betas"]) == (0.0025, (0.0, 0.99))


@pytest.mark.parametrize("intervals", [(1,), (4,), (16,), (4, 16), (2, 3), (4, 4), (6, 10, 15)])
def test_updates_per_step_of_several_intervals(intervals):
    """By counting: penalties that are due together share a step."""
    regularizers = [R1(every=k, own_step=True) for k in intervals] + [R2(every=7), Size(every=5)]
    steps = 960 + sum(any(update % k == 0 for k in intervals) for update in range(960))
    assert updates_per_step(regularizers, "discriminator") == pytest.approx(960 / steps, rel=1e-12)
    assert updates_per_step(regularizers, "generator") == pytest.approx(5 / 6)


def test_other_settings_stay_and_ramps_are_corrected(play):
    sgd = partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01)
    ramped = partial(torch.optim.Adam, lr=Ramp(0.01, 0.02, 8, shape="linear"), betas=[0.5, Ramp(0.9, 0.99, 8)])
    gan = play(
        rounds=3,
        discriminator_optimizer=sgd,
        generator_optimizer=ramped,
        regularizers={"r1": R1(every=4, own_step=True), "size": Size(every=4)},
    )
    d, g = (gan.player_optimizers[player].optimizer.param_groups[0] for player in ("discriminator", "generator"))
    assert (d["lr"], d["momentum"], d["weight_decay"]) == (pytest.approx(0.08), 0.9, 0.01)
    assert (g["lr"], g["betas"]) == (pytest.approx(0.8 * 0.02), pytest.approx((0.5**0.8, 0.99**0.8)))


# Steps


def test_a_penalty_follows_its_update_with_the_same_reals(game, play):
    """By hand: a step along the loss, then one along every * weight * penalty at the new weights."""
    watch, r1 = Watch(), WatchedR1(0.7, every=3, own_step=True)
    start = game(seed=5)
    gan = play(rounds=1, seed=5, regularizers={"watch": watch, "r1": r1})
    (main,), (own,) = watch.steps, r1.steps
    assert torch.equal(main.real.images, own.real.images)
    network, rate = start.discriminator, 0.05 * 3 / 4
    logits = [network(images.detach()).logits for images in (main.real.images, main.fake.images)]
    descend(network, start.loss.discriminator(*logits).mean(), rate)
    reals = own.real.images.detach().requires_grad_()
    (slope,) = torch.autograd.grad(network(reals).logits.sum(), reals, create_graph=True)
    descend(network, 3 * 0.7 * 0.5 * slope.flatten(1).square().sum(1).mean(), rate)
    for expected, found in zip(network.parameters(), gan.discriminator.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def descend(network, loss, rate):
    parameters = list(network.parameters())
    slopes = torch.autograd.grad(loss, parameters, materialize_grads=True)
    with torch.no_grad():
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter -= rate * slope


def test_a_penalty_of_the_generator_has_fresh_latents(play):
    normal, own = Size(own_step=False), Size(every=2)
    gan = play(rounds=4, regularizers={"normal": normal, "own": own})
    latents = torch.cat([step.latents for step in (*normal.steps, *own.steps)])
    assert len(latents.unique(dim=0)) == len(latents) == (4 + 2) * 4
    assert gan.updates == {"discriminator": 4, "generator": 4}


def test_all_parameters_take_all_steps(play):
    """Also biases, in which R1 has no gradient: the corrected betas suppose so."""
    gan = play(rounds=6, optimizer=ADAM, regularizers={"r1": R1(every=2, own_step=True)})
    steps = {p: {int(s["step"]) for s in o.optimizer.state.values()} for p, o in gan.player_optimizers.items()}
    assert steps == {"discriminator": {6 + 3}, "generator": {6}}
    assert (gan.images_seen, gan.batch_size) == (24, 4)


PASSES = {  # (samples of G, passes of D) in a round with the penalty's own step; without it (1, 2) of D and (1, 1) of G
    "r1": (R1(own_step=True), 2, 4),
    "r2": (R2(own_step=True), 3, 4),
    "drift": (Drift(own_step=True), 2, 4),
    "orthogonal": (Orthogonal(own_step=True, players=("generator",)), 2, 3),
    "size": (Size(), 3, 4),
    "zcr": (ZCR(own_step=True), 2 + 2 + 2, 3 + 3 + 1),
}


@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("name", PASSES)
def test_only_what_a_penalty_reads_is_computed(name, precision, game, play):
    penalty, of_g, of_d = PASSES[name]
    gan, counts = game(rounds=1, regularizers={name: penalty}, precision=precision), {"G": 0, "D": 0}
    dtypes = []
    gan.generator.register_forward_hook(lambda *_: counts.update(G=counts["G"] + 1))
    gan.discriminator.register_forward_hook(lambda *_: counts.update(D=counts["D"] + 1))
    gan.discriminator.head.linear.register_forward_hook(lambda module, inputs, out: dtypes.append(out.dtype))
    play(gan=gan)
    assert counts == {"G": of_g, "D": of_d}
    if precision == "bf16" and penalty.full_precision and name != "orthogonal":
        assert dtypes.count(torch.float32) == 1  # in full precision, once


def test_its_terms_and_its_norm_are_logged(play):
    gan = play(rounds=3, regularizers={"r1": R1(every=2, own_step=True)}, log_every=3)
    values = gan.loss_log.flush()
    assert len(values["loss/r1"]) == 2
    norms = values["gradient_norm/discriminator"], values["gradient_norm/discriminator_penalties"]
    assert [len(norm) for norm in norms] == [1, 1]
    assert norms[0] != norms[1]
    assert "gradient_norm/generator_penalties" not in values


def test_its_gradient_is_clipped_too(play):
    arguments = {"rounds": 1, "max_gradient_norm": 0.01, "optimizer": partial(torch.optim.SGD, lr=2.0)}
    frozen = play(rounds=0, **{k: v for k, v in arguments.items() if k != "rounds"})
    gan = play(regularizers={"r1": R1(1e4, own_step=True)}, **arguments)
    pairs = zip(gan.discriminator.parameters(), frozen.discriminator.parameters(), strict=True)
    moved = torch.cat([(a - b).flatten() for a, b in pairs]).norm().item()
    assert 0 < moved <= 2 * 0.01 + 1e-6  # two steps of a corrected lr of 1


def test_float16_scales_both_steps_and_resumes(play, tmp_path):
    arguments = {"precision": "fp16", "regularizers": {"r1": R1(0.1, every=2, own_step=True)}}
    gan = play(rounds=4, **arguments)
    assert all(p.isfinite().all() for p in gan.parameters())
    scaler = gan.player_optimizers["discriminator"].scaler
    assert scaler.state_dict()["_growth_tracker"] == 4 + 2


# The contract

CASES = {
    "of both players, with state": Case(
        (ZCR(every=2, own_step=True), R1(0.1, every=3, own_step=True), R2(0.1), LeCam(), WeightClipping(0.2))
    ),
    "what augmentations show": Case((APA(p=0.4, kimg=0.05, every=2), R1(0.1, own_step=True)), num_classes=3),
    "simultaneous": Case(
        (R1(0.1, every=2, own_step=True), Size(0.1, every=2), InstanceNoise()),
        schedule=Schedule(2, 2, "simultaneous"),
    ),
    "unrolled": Case((Unrolling(2, "sgd", 0.1), ZCR(own_step=True)), loss=Minimax()),
    "through the latents": Case((LOGAN(), R2(0.1, every=2, own_step=True), ZCR(own_step=True))),
    "generator first": Case(
        (R1(0.1, every=2, own_step=True), Size(0.1)),
        schedule=Schedule(1, 2, first="generator", generator_reals="fresh"),
        loss=Relativistic(NonSaturating()),
    ),
}
STATELESS = [check for check in CHECKS if check.__name__ != "check_state"]  # Size keeps its steps


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("check", STATELESS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_it_keeps_the_contract(check, name):
    check(CASES[name])


def test_ranks_train_as_one():
    check_ranks(list(CASES.values()))
