"""Penalties on input gradients in closed form, laziness, weight clipping, and that every choice plays."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from companions import companions
from moments import SHAPE, N, Quadratic, moment
from styled import SmallStyles

from gan_research.augmentations import InstanceNoise
from gan_research.config.build import make
from gan_research.config.compose import compose_train, current_choices
from gan_research.losses import AdversarialLoss
from gan_research.networks import MLPDiscriminator
from gan_research.networks.base import DOutput
from gan_research.networks.layers import spectral
from gan_research.regularizers import (
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    ApproximateR2,
    ConditionalContrastive,
    Consensus,
    DataToDataCrossEntropy,
    FeatureMatching,
    GradientPenalty,
    MaxGP,
    PathLength,
    Regularizer,
    WeightClipping,
    ZeroCentered,
)
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec


def squared(slope, points):
    """||g||^2 per pack, and the gradients of its mean in w and in a."""
    g, y = slope.flatten(1), points.double().reshape(len(slope), -1)
    return g.square().sum(1), 2 * g.mean(0), 2 * (g * y).sum(1).mean()


def half_squared(slope, points):
    """||g||^2 / 2 per pack, and the same."""
    return tuple(value / 2 for value in squared(slope, points))


def centred_at_1(slope, points, active=lambda norm: 1.0):
    """(||g|| - 1)^2 per pack, and the same."""
    g, y = slope.flatten(1), points.double().reshape(len(slope), -1)
    norm = g.norm(dim=1)
    excess = (norm - 1) * active(norm)
    outer = 2 * excess / norm
    return excess.square(), (outer[:, None] * g).mean(0), (outer * (g * y).sum(1)).mean()


def above_1(slope, points):
    """The same, of norms above 1 alone."""
    return centred_at_1(slope, points, lambda norm: (norm > 1).double())


# the penalty, its closed form, the points of a step at which it asks (None: as it asked the discriminator)
PENALTIES = {
    "r1": (R1(), half_squared, lambda step: step.real.images.detach()),
    "r2": (R2(), half_squared, lambda step: step.fake.images.detach()),
    "gradient_penalty": (GradientPenalty(), centred_at_1, None),
    "one-sided gradient_penalty": (GradientPenalty(sided="one"), above_1, None),
    "zero_centered": (ZeroCentered(), squared, None),
    "dragan": (DRAGAN(), centred_at_1, None),
}
packings = pytest.mark.parametrize("packing", [1, 2], ids=["singly", "in pairs"])
family = pytest.mark.parametrize(("penalty", "closed_form", "points"), PENALTIES.values(), ids=PENALTIES.keys())


@family
@packings
@pytest.mark.parametrize(("a", "scale"), [(0.0, 1.0), (0.7, 1.0), (0.3, 0.05)], ids=["linear", "quadratic", "flat"])
@pytest.mark.parametrize("shared", [True, False], ids=["forward of the loss", "forward of its own"])
def test_penalty_and_its_weight_gradient_in_closed_form(penalty, closed_form, points, a, scale, packing, shared):
    discriminator = Quadratic(a, packing, scale)
    step = moment(discriminator, penalty.needs_input_grad if shared else ())
    values = penalty.penalty(step)
    assert len(discriminator.asked) == (0 if shared and penalty.needs_input_grad else 1)
    at = points(step) if points else discriminator.asked[0]
    expected, in_w, in_a = closed_form(discriminator.slope(at), at)
    assert values.shape == (N // packing,)
    assert values.dtype == torch.float32
    assert values.tolist() == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-7)
    got_w, got_a = torch.autograd.grad(values.mean(), (discriminator.w, discriminator.a), materialize_grads=True)
    assert got_w.flatten().tolist() == pytest.approx(in_w.flatten().tolist(), rel=1e-5, abs=1e-6)
    assert got_a.item() == pytest.approx(in_a.item(), rel=1e-5)


@family
@packings
def test_on_a_linear_discriminator_the_points_play_no_part(penalty, closed_form, points, packing):
    discriminator = Quadratic(0.0, packing)
    square = discriminator.w.square().sum().item()
    expected = {squared: square, half_squared: square / 2}.get(closed_form, (square**0.5 - 1) ** 2)
    values = penalty.penalty(moment(discriminator))
    assert values.tolist() == pytest.approx([expected] * (N // packing), rel=1e-6)


def test_one_side_forgives_norms_below_1():
    discriminator = Quadratic(0.3, scale=0.05)  # "flat" above: norms on both sides of 1
    one, two = (GradientPenalty(sided=s).penalty(moment(discriminator)) for s in ("one", "two"))
    step = moment(discriminator)
    norms = (
        step.gradient_at(step.fake.images.lerp(step.real.images, step.mixing_weights("gradient_penalty")))
        .flatten(1)
        .norm(dim=1)
    )
    assert 0 < (norms < 1).sum() < N
    assert one.tolist() == pytest.approx([v if n > 1 else 0.0 for v, n in zip(two.tolist(), norms, strict=True)])
    with pytest.raises(UserError, match="gradient_penalty: sided=left: set it to two or one"):
        GradientPenalty(sided="left")


@family
def test_the_papers_weight_and_the_interval(penalty, closed_form, points):
    assert penalty.weight == 10
    assert [update for update in range(9) if type(penalty)(every=4).due(update)] == [0, 4, 8]
    with pytest.raises(UserError, match="every=0: set an interval of at least 1"):
        type(penalty)(every=0)


def test_a_zero_gradient_has_a_finite_penalty_gradient():
    discriminator = Quadratic(0.0)
    with torch.no_grad():
        discriminator.w.zero_()
    GradientPenalty().penalty(moment(discriminator)).sum().backward()
    assert discriminator.w.grad.isfinite().all()


@packings
@pytest.mark.parametrize("penalty", [GradientPenalty(), ZeroCentered()], ids=["gradient_penalty", "zero_centered"])
def test_they_ask_once_between_each_real_and_its_fake(penalty, packing):
    discriminator = Quadratic(0.5, packing)
    step = moment(discriminator)
    penalty.penalty(step)
    real, fake = step.real.images, step.fake.images
    share = ((discriminator.asked[0] - fake) / (real - fake)).reshape(N // packing, -1)
    purpose = "gradient_penalty" if isinstance(penalty, GradientPenalty) else "zero_centered"
    expected = step.noise.uniform(purpose, 1)[::packing]
    assert (share - expected).abs().max().item() < 1e-4  # one share for all pixels of a sample, and of a pack
    assert len({round(x, 3) for x in share[:, 0].tolist()}) == N // packing  # another one for each pack
    assert ((share > -1e-4) & (share < 1 + 1e-4)).all()


@packings
@pytest.mark.parametrize("spread", [0.5, 0.01])
def test_dragan_asks_near_the_reals(spread, packing):
    discriminator = Quadratic(0.5, packing)
    step = moment(discriminator)
    DRAGAN(spread=spread).penalty(step)
    real = step.real.images
    away = (discriminator.asked[0] - real) / (spread * real.std())
    assert -1e-4 < away.min().item() < away.max().item() < 1
    assert away.max().item() > 0.5
    length = step.noise.uniform("dragan_step", 1, 1, 1)[::packing].repeat_interleave(packing, 0)
    noise = step.noise.uniform("dragan_noise", *SHAPE)
    assert (away - length * noise).abs().max().item() < 2e-4


class NoLoss(AdversarialLoss):
    """0 for both players, so that only penalties move them."""

    def discriminator(self, real_logits, fake_logits):
        return 0 * fake_logits

    def generator(self, fake_logits, real_logits=None):
        return 0 * fake_logits


class Pull(Regularizer):
    """A penalty with the constant gradient 1 in the first bias of one player."""

    def __init__(self, player, **arguments):
        super().__init__(**arguments)
        self.players = (player,)

    def penalty(self, step):
        return self.bias.sum().expand(len(step.fake.images))

    def follow(self, network):
        object.__setattr__(self, "bias", network.body[0].bias)


class Trail:
    """The bias that a `Pull` moves, after every round."""

    def __init__(self, game, player, *pulls, **arguments):
        self.gan = game(
            loss=NoLoss(), regularizers={f"pull{i}": pull for i, pull in enumerate(pulls)}, rounds=8, **arguments
        )
        network = self.gan.objective.networks[player]
        for pull in pulls:
            pull.follow(network)
        self.bias = network.body[0].bias
        self.points = [self.bias.detach().clone()]
        self.gan._end_round = self.noting(self.gan._end_round)

    def noting(self, end_round):
        def noted(images):
            end_round(images)
            self.points.append(self.bias.detach().clone())

        return noted

    def moves(self):
        return [(before - after).mean().item() for before, after in zip(self.points, self.points[1:], strict=False)]


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_lazy_penalties_are_applied_when_due_and_scaled_by_the_interval(player, game, play):
    lazy = Trail(game, player, Pull(player, weight=2.0, every=4))
    eager = Trail(game, player, Pull(player, weight=2.0))
    for trail in (lazy, eager):
        play(gan=trail.gan)
    rate = 0.05
    assert eager.moves() == pytest.approx([2 * rate] * 8, abs=1e-6)
    assert lazy.moves() == pytest.approx([8 * rate, 0, 0, 0] * 2, abs=1e-6)
    assert (lazy.bias - eager.bias).abs().max().item() < 1e-6


def test_laziness_counts_the_updates_of_the_player(game, play):
    trail = Trail(game, "discriminator", Pull("discriminator", every=4), schedule=Schedule(discriminator_steps=3))
    play(gan=trail.gan)
    due = [sum(update % 4 == 0 for update in range(3 * r, 3 * r + 3)) for r in range(8)]
    assert trail.moves() == pytest.approx([0.05 * 4 * n for n in due], abs=1e-6)


def test_several_penalties_add_up(game, play):
    pulls = Pull("discriminator", weight=2.0), Pull("discriminator", weight=-0.5), Pull("discriminator", every=2)
    trail = Trail(game, "discriminator", *pulls)
    play(gan=trail.gan)
    assert trail.moves() == pytest.approx([0.05 * (1.5 + 2), 0.05 * 1.5] * 4, abs=1e-6)


def test_penalties_are_recorded_before_their_weight(game, play):
    gan = play(rounds=4, regularizers={"r1": R1(weight=3.0, every=2)}, log_every=100)
    values = gan.loss_log.flush()
    assert len(values["loss/r1"]) == 2
    assert len(values["loss/discriminator"]) == 4


class Judge(Regularizer):
    """Holds a penalty against the same one in plain float32, outside autocast."""

    def __init__(self, penalty):
        super().__init__(penalty.weight)
        self.judged, self.needs_input_grad = penalty, penalty.needs_input_grad
        self.errors, self.dtypes, self.autocast = [], set(), set()

    def penalty(self, step):
        values = self.judged.penalty(step)
        real, fake = (side._replace(images=side.images.detach()) for side in (step.real, step.fake))
        plain = lambda images, condition=real.condition, side="view", repeat=False: self.network(images, condition)  # noqa: E731
        expected = self.judged.penalty(replace(step, real=real, fake=fake, D=plain))
        again = step.D(step.real.images).logits
        self.dtypes |= {values.dtype, again.dtype, step.input_gradient("real").dtype}
        self.errors.append(((values - expected).abs() / expected.abs()).max().item())
        self.autocast.add(torch.is_autocast_enabled("cpu"))
        return values


@family
@pytest.mark.parametrize("num_classes", [0, 3], ids=["linear head", "projection head"])
def test_under_bf16_penalties_are_float32(penalty, closed_form, points, num_classes, game, play):
    judge = Judge(penalty)
    gan = game(rounds=3, precision="bf16", regularizers={"judge": judge}, num_classes=num_classes)
    object.__setattr__(judge, "network", gan.discriminator)
    with torch.no_grad():  # steep enough for one side
        for parameter in gan.discriminator.parameters():
            parameter.mul_(4)
    play(gan=gan)
    assert judge.dtypes == {torch.float32}
    assert judge.autocast == {False}
    assert len(judge.errors) == 3
    assert max(judge.errors) < 1e-4  # bfloat16 would be 1e-2 away


def test_the_penalties_of_a_game_are_those_of_its_networks(play):
    """What the game logs as R1 is ||grad||^2 / 2 of its own first discriminator at its own first reals."""
    seen = []

    class Watch(R1):
        def penalty(self, step):
            seen.append(step.real.images.detach().clone())
            return super().penalty(step)

    gan = play(rounds=1, regularizers={"r1": Watch()}, optimizer=lambda p: torch.optim.SGD(p, lr=0.0))
    images = seen[0].requires_grad_()
    (slope,) = torch.autograd.grad(gan.discriminator(images).logits.sum(), images)
    expected = slope.flatten(1).square().sum(1).mean().item() / 2
    assert gan.loss_log.flush()["loss/r1"].item() == pytest.approx(expected, rel=1e-5)


def test_weight_clipping_clamps_the_discriminator_only(play):
    torch.manual_seed(0)
    gan = play(rounds=3, regularizers={"weight_clipping": WeightClipping(0.02)})
    clipped = torch.cat([p.flatten() for p in gan.discriminator.parameters()])
    free = torch.cat([p.flatten() for p in gan.generator.parameters()])
    assert clipped.abs().max().item() == pytest.approx(0.02, abs=1e-9)
    assert (clipped.abs() < 0.0199).any()
    assert free.abs().max().item() > 0.2


def test_weight_clipping_acts_after_the_discriminators_step_alone():
    network = MLPDiscriminator(SampleSpec(4, 1), width=8, depth=1)
    before = [p.detach().clone() for p in network.parameters()]
    WeightClipping(0.02).after_step("generator", network)
    assert all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))
    WeightClipping(0.02).after_step("discriminator", network)
    for old, new in zip(before, network.parameters(), strict=True):
        assert torch.equal(new, old.clamp(-0.02, 0.02))
    with pytest.raises(UserError, match="limit=0: set a positive limit"):
        WeightClipping(0)


@packings
def test_max_gp_is_the_largest_of_the_squared_norms_and_its_gradient_that_of_one_sample(packing):
    discriminator = Quadratic(0.3, packing)
    value = MaxGP().penalty(moment(discriminator))
    assert value.shape == ()
    points, slope = discriminator.asked[0], discriminator.slope(discriminator.asked[0])
    norms, _, _ = squared(slope, points)
    steepest = int(norms.argmax())
    assert norms.topk(2).values.diff().item() < -1  # another one would be seen
    _, in_w, in_a = squared(slope[[steepest]], points.reshape(len(slope), -1)[[steepest]])
    assert value.item() == pytest.approx(norms.max().item(), rel=1e-5)
    got_w, got_a = torch.autograd.grad(value, (discriminator.w, discriminator.a))
    assert got_w.flatten().tolist() == pytest.approx(in_w.flatten().tolist(), rel=1e-5, abs=1e-6)
    assert got_a.item() == pytest.approx(in_a.item(), rel=1e-5)
    linear = Quadratic(0.0, packing)
    assert MaxGP().penalty(moment(linear)).item() == pytest.approx(linear.w.square().sum().item(), rel=1e-6)


COUPLED = {
    "dragan": DRAGAN,
    "consensus": Consensus,
    "conditional_contrastive": ConditionalContrastive,
    "data_to_data_cross_entropy": DataToDataCrossEntropy,
    "feature_matching": FeatureMatching,
    "max_gp": MaxGP,
    "path_length": PathLength,
}
"""They need the whole minibatch."""


@pytest.mark.parametrize("choice", current_choices("regularizer"))
def test_every_choice_composes_and_plays(choice, play):
    needed = companions(choice)
    config = compose_train([f"regularizer={choice}", *needed]).config
    nodes = (config["regularizer"] or {}).items()
    regularizers = {name: make(node | ({"every": 1} if "every" in node else {})) for name, node in nodes}
    game = {
        "num_classes": 3 * config["conditional"],
        "discriminator": partial(MLPDiscriminator, width=8, head=make(config["head"])),
        "prior": make(config["prior"]),
    }
    if choice == "path_length":
        game["generator"] = SmallStyles
    parts = 1 if choice in COUPLED else 2
    gan = play(
        rounds=3,
        schedule=Schedule(2),
        accumulation=parts,
        regularizers=regularizers,
        log_every=100,
        **(game if needed or "generator" in game else {}),
    )
    values = gan.loss_log.flush()
    assert list(regularizers) == ([] if choice == "none" else [choice])
    assert all(value.isfinite().all() for value in values.values())
    players = [p for r in regularizers.values() for p in r.players]
    recorded = sum(3 * parts * (2 if player == "discriminator" else 1) for player in players)
    assert sum(len(v) for name, v in values.items() if name.startswith(f"loss/{choice}")) == recorded
    assert all(r.couples_batch == (choice in COUPLED) for r in regularizers.values())


@pytest.mark.parametrize("choice", sorted(COUPLED))
def test_what_couples_the_samples_of_a_minibatch_refuses_micro_batches(choice, game):
    regularizers = {choice: COUPLED[choice]()}
    with pytest.raises(UserError, match=rf"{type(regularizers[choice]).__name__} needs the whole minibatch.*=1"):
        game(accumulation=2, regularizers=regularizers)


# --- finite differences --------------------------------------------------------------------------------------------


@packings
@pytest.mark.parametrize(("penalty", "side"), [(ApproximateR1, "real"), (ApproximateR2, "fake")])
def test_a_finite_difference_is_the_slope_along_its_noise(penalty, side, packing):
    """On a linear D ((D(x + s e) - D(x)) / s)^2 = (w^T e)^2, of mean ||w||^2: half of it, as R1 is."""
    discriminator = Quadratic(0.0, packing)
    step = moment(discriminator, n=20_000 * packing)
    values = penalty(sigma=0.5).penalty(step)
    assert len(discriminator.asked) == 1
    noise = discriminator.pack(step.noise.normal(f"approximate_gradient {side}", *SHAPE))
    along = (discriminator.w * noise).flatten(1).sum(1)
    assert (values - 0.5 * along.square()).abs().max().item() < 1e-3
    assert values.mean().item() == pytest.approx(0.5 * discriminator.w.square().sum().item(), rel=0.03)
    assert (discriminator.asked[0] - getattr(step, side).images).std().item() == pytest.approx(0.5, rel=0.01)


def test_on_a_quadratic_discriminator_it_has_the_terms_of_second_order():
    """D = w^T x + a/2 ||x||^2, in d dimensions: E = ||w + a x||^2 + sigma^2 (2 d a^2 + d^2 a^2) / 4."""
    a, sigma, n, d = 0.6, 0.8, 40_000, 18
    discriminator = Quadratic(a)
    step = moment(discriminator, n=n)
    penalty = ApproximateR1(sigma=sigma).penalty(step)
    slopes = discriminator.slope(step.real.images).flatten(1).square().sum(1).mean().item()
    second = sigma**2 * a**2 * (2 * d + d**2) / 4
    assert second > 0.3 * slopes
    assert 2 * penalty.mean().item() == pytest.approx(slopes + second, rel=0.02)
    assert 2 * penalty.mean().item() != pytest.approx(slopes, rel=0.1)


def test_weights_are_r1s_and_the_undivided_ones_are_known():
    """APT's lambda = 100 of the undivided square, at sigma = 0.01, is R1's weight 2 * 100 * 0.01^2."""
    default = ApproximateR1()
    assert default.weight / (2 * default.sigma**2) == pytest.approx(100)


@packings
def test_a_share_is_every_nth_pack_in_passes_of_its_own(packing):
    discriminator = Quadratic(0.3, packing)
    step = moment(discriminator, n=12)
    whole, half = (ApproximateR1(share=share, sigma=0.1).penalty(step) for share in (1.0, 0.5))
    assert [len(images) for images in discriminator.asked] == [12, 6, 6]
    assert half.tolist() == pytest.approx(whole[::2].tolist(), rel=1e-3)
    with pytest.raises(UserError, match=r"ApproximateR1: share=0.2 doesn't divide"):
        ApproximateR1(share=0.2).penalty(step)


class Spectral(torch.nn.Module):
    """The sum of W x, W of norm 1 by a power iteration in each pass."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.asked = torch.nn.Linear(18, 3, bias=False), []
        spectral(self)
        with torch.no_grad():  # the last estimate is wrong now
            self.linear.parametrizations.weight.original.mul_(torch.rand(3, 18))

    def forward(self, images):
        return DOutput(self.linear(images.flatten(1)).sum(1), images)


def test_a_power_iteration_is_no_change_of_the_images():
    discriminator = Spectral()
    step = moment(discriminator)
    values = ApproximateR1(sigma=1e-2).penalty(step)
    assert discriminator.linear.parametrizations.weight[0].training
    noise = step.noise.normal("approximate_gradient real", *SHAPE).flatten(1)
    expected = 0.5 * (noise @ discriminator.eval().linear.weight.sum(0)).square()
    assert values.tolist() == pytest.approx(expected.tolist(), rel=2e-2, abs=1e-3)
    spurious = (discriminator.train()(step.real.images).logits - step.real.out.logits) / 1e-2
    assert spurious.square().mean().item() > 10 * expected.mean().item()  # of passes with an iteration each


def test_what_finite_differences_refuse(game):
    for wrong in ({"share": 0.4}, {"share": 1.5}, {"sigma": 0.0}):
        with pytest.raises(UserError, match=f"ApproximateR2: {next(iter(wrong))}="):
            ApproximateR2(**wrong)
    with pytest.raises(UserError, match=r"share=0.5 allows no augmentations"):
        game(regularizers={"it": ApproximateR1(share=0.5)}, augmentations={"noise": InstanceNoise()})
    with pytest.raises(UserError, match=r"ApproximateR1 compares two passes .* dropout"):
        game(
            regularizers={"it": ApproximateR1()}, discriminator=partial(MLPDiscriminator, width=8, depth=1, dropout=0.5)
        )


class Compared(Regularizer):
    """Compares D's outputs for the same images, with and without the augmentations' random numbers of the loss."""

    players = ("discriminator", "generator")

    def penalty(self, step):
        for name in ("real", "fake") if step.player == "discriminator" else ("fake",):
            side = step.side(name)
            again, other = (step.D(side.images, side=name, repeat=repeat).logits for repeat in (True, False))
            assert torch.equal(side.out.logits, again)
            assert not torch.allclose(side.out.logits, other)
        return side.out.logits


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_augmentations_repeat_their_random_numbers_where_two_passes_are_compared(updates, play):
    """Else differences over sigma^2 would be those of two augmentations, not of the images."""
    compared = {"it": Compared()}
    play(rounds=2, regularizers=compared, augmentations={"n": InstanceNoise(1.0)}, schedule=Schedule(updates=updates))


def test_finite_differences_run_compiled(play, monkeypatch):
    passes = []
    monkeypatch.setattr(torch, "compile", lambda network: lambda *inputs: passes.append(network) or network(*inputs))
    gan = play(rounds=1, compile=True, regularizers={"a": ApproximateR1(), "b": ApproximateR2()})
    assert passes.count(gan.discriminator) == 4 + 1  # both sides, both penalties, and the generator's update
