"""The game, trained by a real Trainer: its steps, minibatches and resumed runs."""

import random
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.nn.functional import softplus
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import gan_research
from gan_research.augmentations import Augmentation, InstanceNoise
from gan_research.callbacks import Evaluate, Health, Log, SampleGrid
from gan_research.data import Arrays, Digits, Order
from gan_research.losses import NonSaturating
from gan_research.metrics import Classifier, Evaluation
from gan_research.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
)
from gan_research.regularizers import (
    DRAGAN,
    R1,
    R2,
    GradientPenalty,
    LabelSmoothing,
    LeCam,
    Orthogonal,
    Regularizer,
    WeightClipping,
    ZeroCentered,
)
from gan_research.training.ema import EMA
from gan_research.training.loss_log import Diverged, LossLog
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise, stream_seed
from gan_research.utils.sample_spec import SampleSpec

ADAM = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))


class Watch(pl.Callback):
    """Writes down what really happens: gradients, optimizer steps, and what the discriminator is shown."""

    def __init__(self, pictures):
        self.numbers = {picture.numpy().tobytes(): i for i, picture in enumerate(pictures.images)}
        self.events = []
        """In order, repetitions left out: 'd grad', 'd step', 'g grad', 'g step', 'round'."""
        self.steps = Counter()
        self.minibatches = [[]]
        """The numbers of the real images that D saw up to each of its steps."""
        self.fakes = []
        """Of each batch of fakes shown to D: whether it carried a graph."""
        self.graphs = []
        """Of each call of the generator: whether it made a graph."""
        self.frozen = []
        """Of each call of D: whether its parameters were frozen."""

    def on_train_start(self, trainer, gan):
        self.handles = [register_optimizer_step_post_hook(partial(self._stepped, gan))]
        for letter, network in (("d", gan.discriminator), ("g", gan.generator)):
            for parameter in network.parameters():
                note = partial(self._note, f"{letter} grad")
                self.handles.append(parameter.register_post_accumulate_grad_hook(note))
        self.handles.append(gan.discriminator.register_forward_pre_hook(self._judged))
        self.handles.append(
            gan.generator.register_forward_hook(lambda m, i, out: self.graphs.append(out.requires_grad))
        )

    def on_train_batch_end(self, *args):
        self.events.append("round")

    def on_train_end(self, *args):
        for handle in self.handles:
            handle.remove()

    def _note(self, event, *args):
        if not self.events or self.events[-1] != event:
            self.events.append(event)

    def _stepped(self, gan, optimizer, *args):
        owner = "d" if optimizer.param_groups[0]["params"][0] is next(gan.discriminator.parameters()) else "g"
        self.steps[owner] += 1
        self.events.append(f"{owner} step")
        if owner == "d":
            self.minibatches.append([])

    def _judged(self, discriminator, inputs):
        levels = ((inputs[0].detach() + 1) * 127.5).round().to(torch.uint8).numpy()
        numbers = [self.numbers.get(picture.tobytes()) for picture in levels]
        self.frozen.append(not any(p.requires_grad for p in discriminator.parameters()))
        if None in numbers:
            self.fakes.append(inputs[0].grad_fn is not None)
        else:
            self.minibatches[-1].append(numbers)


@pytest.fixture
def watch(pictures):
    return Watch(pictures)


def weights(*networks):
    return [p.detach().clone() for network in networks for p in network.state_dict().values()]


def equal(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def distance(first, second):
    return max((a - b).abs().max().item() for a, b in zip(first, second, strict=True))


# --- counting ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_real_steps_minibatches_and_images(k, n, accumulation, updates, play, watch):
    rounds, batch_size = 60 // (4 * k) + 1, 4  # a little more than one pass over the 60 pictures
    gan = play(
        rounds=rounds,
        batch_size=batch_size,
        callbacks=[watch],
        schedule=Schedule(k, n, updates),
        accumulation=accumulation,
    )
    assert watch.steps == {"d": rounds * k, "g": rounds * n}
    assert gan.updates == {"discriminator": rounds * k, "generator": rounds * n}
    assert gan.round == rounds == watch.events.count("round")
    assert gan.images_seen == rounds * k * batch_size
    assert gan.kimg == pytest.approx(rounds * k * batch_size / 1000, rel=1e-12)
    consumed = watch.minibatches[: rounds * k]
    assert watch.minibatches[rounds * k :] == [[]]
    assert [[len(micro) for micro in minibatch] for minibatch in consumed] == [
        [batch_size // accumulation] * accumulation
    ] * (rounds * k)
    flat = [i for minibatch in consumed for micro in minibatch for i in micro]
    assert sorted(flat[:60]) == list(range(60))  # every update had fresh pictures, none twice in a pass
    assert flat == Order(60, seed=0).indices(0, len(flat)).tolist()


def turns(k, n, updates):
    """The order of one round."""
    d, g = ["d grad", "d step"], ["g grad", "g step"]
    meeting = ["d grad", "g grad", "d step", "g step"] if updates == "simultaneous" else d + g
    return d * (k - 1) + meeting + g * (n - 1) + ["round"]


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_only_the_player_that_moves_has_gradients_and_graphs(k, n, updates, play, watch):
    gan = play(rounds=2, callbacks=[watch], schedule=Schedule(k, n, updates))
    assert watch.events == 2 * turns(k, n, updates)
    meets = updates == "simultaneous"
    # fakes for D's steps are made without a graph, but for the ones that G steps on too
    assert watch.graphs == 2 * ([False] * (k - meets) + [True] * n)
    assert watch.fakes == 2 * ([False] * k + [True] * n)
    assert watch.frozen == 2 * ([False] * (2 * k) + [True] * n)
    assert all(p.requires_grad for p in gan.parameters())


def test_a_parameter_that_the_user_froze_stays_frozen(game, play):
    gan = game(rounds=2)
    gan.discriminator.body[0].weight.requires_grad_(False)
    before = gan.discriminator.body[0].weight.clone()
    play(gan=gan)
    assert not gan.discriminator.body[0].weight.requires_grad
    assert torch.equal(gan.discriminator.body[0].weight, before)
    assert gan.discriminator.body[0].bias.requires_grad


PLANS = {
    (1, 1, "alternating"): ("d", "g"),
    (3, 1, "alternating"): ("d", "d", "d", "g"),
    (2, 2, "alternating"): ("d", "d", "g", "g"),
    (1, 1, "simultaneous"): ("dg",),
    (3, 2, "simultaneous"): ("d", "d", "dg", "g"),
}


@pytest.mark.parametrize(("arguments", "updates"), PLANS.items())
def test_schedules(arguments, updates):
    assert tuple("".join(player[0] for player in players) for players in Schedule(*arguments).plan(0)) == updates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"discriminator_steps": 0}, "^schedule.discriminator_steps=0: give at least 1"),
        ({"generator_steps": 0}, "^schedule.generator_steps=0: give at least 1"),
        ({"updates": "simultanous"}, "updates=simultanous: give alternating or simultaneous"),
    ],
)
def test_impossible_schedules_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Schedule(**arguments)


# --- the updates themselves ----------------------------------------------------------------------------------------


def sgd_step(network, loss, rate):
    gradients = torch.autograd.grad(loss, list(network.parameters()))
    return [p.detach() - rate * g for p, g in zip(network.parameters(), gradients, strict=True)]


def put(network, values):
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), values, strict=True):
            parameter.copy_(value)


def by_hand(gan, images, order, k, n, updates, rates, rounds, size):
    """Algorithm 1, written out for SGD and the non-saturating loss."""
    g, d, seen, made = gan.generator, gan.discriminator, 0, 0
    # with autograd's own names: latents of a player's i-th update
    noise = lambda player, i: Noise(stream_seed(gan.seed, player), i, size, 0, size)  # noqa: E731
    latents = lambda player, i: noise(player, i).sample("latents", gan.prior.sample)  # noqa: E731
    for _ in range(rounds):
        ready = None
        for i in range(k):
            real = images[order[seen * size : (seen + 1) * size]]
            z = latents("discriminator", seen)
            d_loss = (softplus(-d(real).logits) + softplus(d(g(z)).logits)).mean()
            stepped = sgd_step(d, d_loss, rates[0])
            if updates == "simultaneous" and i == k - 1:
                ready = sgd_step(g, softplus(-d(g(z)).logits).mean(), rates[1])
            put(d, stepped)
            seen += 1
        for i in range(n):
            if i > 0 or ready is None:
                ready = sgd_step(g, softplus(-d(g(latents("generator", made))).logits).mean(), rates[1])
            put(g, ready)
            made += 1
    return gan


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_the_weights_are_those_of_algorithm_1_by_hand(k, n, updates, game, play, pictures):
    """Two learning rates, so that either player's taking the other's would show."""
    rates, rounds, size = (0.3, 0.8), 3, 4
    arguments = {
        "schedule": Schedule(k, n, updates),
        "discriminator_optimizer": partial(torch.optim.SGD, lr=rates[0]),
        "generator_optimizer": partial(torch.optim.SGD, lr=rates[1]),
    }
    gan = play(rounds=rounds, batch_size=size, **arguments)
    images = pictures.images[:, None].float() / 127.5 - 1
    order = Order(60, seed=0).indices(0, rounds * k * size)
    expected = by_hand(game(**arguments), images, order, k, n, updates, rates, rounds, size)
    players = gan.generator, gan.discriminator
    assert distance(weights(*players), weights(expected.generator, expected.discriminator)) < 1e-6
    start = game()
    assert distance(weights(gan.generator), weights(start.generator)) > 1e-3
    assert distance(weights(gan.discriminator), weights(start.discriminator)) > 1e-3


def test_alternating_and_simultaneous_differ(play):
    first, second = (play(rounds=1, schedule=Schedule(1, 1, u)) for u in ("alternating", "simultaneous"))
    assert equal(weights(first.discriminator), weights(second.discriminator))
    assert distance(weights(first.generator), weights(second.generator)) > 1e-6


ADDITIVE = {  # fresh ones for every game, as some have a state
    "nothing": lambda: {},
    "r1, r2": lambda: {"regularizers": {"r1": R1(), "r2": R2(every=2)}},
    "between": lambda: {
        "regularizers": {"gradient_penalty": GradientPenalty(sided="one"), "zero_centered": ZeroCentered()}
    },
    "logits": lambda: {"regularizers": {"label_smoothing": LabelSmoothing(), "lecam": LeCam(decay=0.5)}},
    "noise": lambda: {
        "augmentations": {"noise": InstanceNoise(0.3, anneal=6)},
        "regularizers": {"r1": R1(), "orthogonal": Orthogonal(0.1)},
    },
}


@pytest.mark.parametrize("components", ADDITIVE.values(), ids=ADDITIVE.keys())
@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
@pytest.mark.parametrize(("accumulation", "packing"), [(2, 1), (4, 2)])
def test_accumulation_changes_nothing(accumulation, packing, updates, components, play):
    arguments = {
        "rounds": 4,
        "batch_size": 8,
        "schedule": Schedule(2, 1, updates),
        "discriminator": partial(MLPDiscriminator, width=8, depth=1, packing=packing),
    }
    games = [play(accumulation=parts, **components(), **arguments) for parts in (1, accumulation)]
    parts = [(gan.generator, gan.discriminator, gan.regularizers, gan.augmentations) for gan in games]
    assert distance(*(weights(*networks) for networks in parts)) < 1e-6


def test_packs_that_do_not_come_out_even_are_refused(play):
    packed = {"discriminator": partial(MLPDiscriminator, width=8, packing=2)}
    assert play(rounds=1, batch_size=4, accumulation=2, **packed).discriminator.packing == 2
    message = "1 samples don't make packs of 2: choose a batch_size that devices x accumulation x packing divides"
    with pytest.raises(UserError, match=message):
        play(rounds=1, batch_size=4, accumulation=4, **packed)


def test_the_log_asks_about_whole_packs(play):
    log, packed = Log(), partial(MLPDiscriminator, width=8, packing=3)  # 256 probes are no multiple of 3
    gan = play(data=Digits(batch_size=6), rounds=2, log_every=1, discriminator=packed, resolution=8, callbacks=[log])
    assert log.board.row.keys() >= {"logits/heldout", "logits/train"}
    assert [len(images) for images, _ in log._probes.values()] == [198, 255]
    assert gan.objective.forward.probe(torch.randn(6, 1, 8, 8), None).shape == (2,)


def test_a_batch_that_accumulation_does_not_divide_is_refused(play):
    with pytest.raises(UserError, match=r"batch_size=4 can't be divided into 3 parts, accumulation=3 on 1 .* of 3"):
        play(rounds=1, batch_size=4, accumulation=3)
    with pytest.raises(UserError, match="accumulation=0: give at least 1"):
        play(rounds=1, accumulation=0)


def test_learning_rates_step_once_a_round(play):
    gan = play(
        rounds=4,
        schedule=Schedule(3, 2),
        discriminator_optimizer=partial(torch.optim.SGD, lr=0.1),
        generator_optimizer=partial(torch.optim.SGD, lr=0.2),
        discriminator_lr_schedule=partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5),
        generator_lr_schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=3, gamma=0.1),
    )
    rates = gan.player_optimizers.learning_rates()
    assert rates == pytest.approx({"discriminator": 0.1 * 0.5**4, "generator": 0.02}, rel=1e-9)


def test_a_schedule_for_one_player_leaves_the_other_alone(play):
    decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)
    gan = play(rounds=3, generator_lr_schedule=decay)
    rates = gan.player_optimizers.learning_rates()
    assert rates == pytest.approx({"discriminator": 0.05, "generator": 0.05 / 8}, rel=1e-9)


class NeedsReal(NonSaturating):
    """G's loss asks for real logits, and notes them."""

    needs_real = True

    def __init__(self):
        self.asked = []

    def generator(self, fake_logits, real_logits=None):
        self.asked.append((real_logits.shape, real_logits.requires_grad))
        return super().generator(fake_logits)


def test_a_generator_loss_may_ask_for_the_rounds_last_reals(play, watch):
    loss = NeedsReal()
    play(rounds=2, loss=loss, schedule=Schedule(2, 2), callbacks=[watch])
    assert loss.asked == [((4,), False)] * 4
    per_step = [batch for minibatch in watch.minibatches for batch in minibatch]
    # a round shows D two fresh minibatches, and the second one again for each of G's two steps
    assert len(per_step) == 8
    assert per_step[1] == per_step[2] == per_step[3] != per_step[0]
    assert per_step[5] == per_step[6] == per_step[7] != per_step[4]
    assert watch.fakes == [False, False, True, True] * 2


# --- conditional play ----------------------------------------------------------------------------------------------


def test_labels_reach_both_networks(game, play, pictures):
    gan = game(rounds=3, num_classes=3)
    seen = {"d real": [], "d fake": [], "g": []}

    def judged(network, inputs):
        levels = ((inputs[0].detach() + 1) * 127.5).round().to(torch.uint8).numpy()
        side = "d real" if levels[0].tobytes() in numbers else "d fake"
        seen[side].append(inputs[1].tolist())
        if side == "d real":
            assert inputs[1].tolist() == [numbers[picture.tobytes()] % 3 for picture in levels]

    numbers = {picture.numpy().tobytes(): i for i, picture in enumerate(pictures.images)}
    gan.discriminator.register_forward_pre_hook(judged)
    gan.generator.register_forward_pre_hook(lambda network, inputs: seen["g"].append(inputs[1].tolist()))
    play(gan=gan)
    assert len(seen["d real"]) == 3
    fakes = [labels for labels in seen["d real"] for _ in range(2)]  # D's step and G's: as many of each class as reals
    assert seen["g"] == seen["d fake"] == fakes
    assert len({tuple(labels) for labels in seen["g"]}) > 1


def test_conditional_play_without_labels_is_refused(play, pictures):
    with pytest.raises(UserError, match=r"class-conditional training needs labels.*set conditional=false"):
        play(rounds=1, num_classes=3, data=Arrays(pictures.plain, batch_size=4))


def test_labels_of_the_data_are_left_out_of_unconditional_play(play, pictures):
    assert play(rounds=2, data=Arrays(pictures.classes, batch_size=4)).round == 2


@pytest.mark.parametrize("change", [{"resolution": 8}, {"num_classes": 3}, {"channels": 3}])
def test_players_that_do_not_fit_are_refused(change, game):
    samples = replace(SampleSpec(4, 1), **change)
    with pytest.raises(
        UserError, match=r"the networks don't fit: the generator makes samples of shape \(1, 4, 4\) in 0"
    ):
        game(discriminator=lambda **_: MLPDiscriminator(samples))


def test_a_prior_that_does_not_fit_is_refused(game):
    with pytest.raises(UserError, match="the generator takes latents of 5, the prior gives 3"):
        game(generator=lambda latent_dim, **shape: MLPGenerator(5, **shape))


# --- determinism, and what must not be touched ---------------------------------------------------------------------


def everything(gan):
    """All that a game's future depends on."""
    states = [optimizer.optimizer.state_dict()["state"] for optimizer in gan.player_optimizers.values()]
    moments = [v for state in states for slot in state.values() for v in slot.values() if isinstance(v, torch.Tensor)]
    return weights(gan) + moments


def test_a_seed_makes_one_game(play):
    games = []
    for noise, seed in ((1, 0), (2, 0), (1, 1)):
        torch.manual_seed(noise)  # what happened before must not matter
        dropping = partial(MLPDiscriminator, width=8, depth=1, dropout=0.5)
        gan = play(rounds=4, seed=seed, optimizer=ADAM, discriminator=dropping, regularizers={"dragan": DRAGAN()})
        games.append(everything(gan))
    assert equal(games[0], games[1])
    assert distance(games[0], games[2]) > 1e-2


def test_the_seeds_of_game_and_data_each_matter(play, pictures):
    def played(game_seed, data_seed):
        torch.manual_seed(0)
        networks = {  # the same initial weights whatever the seed
            "generator": lambda **shape: seeded(MLPGenerator, width=8, depth=1, **shape),
            "discriminator": lambda **shape: seeded(MLPDiscriminator, width=8, depth=1, **shape),
        }
        data = Arrays(pictures.plain, batch_size=4, seed=data_seed)
        return weights(play(rounds=2, seed=game_seed, data=data, **networks))

    base = played(0, 0)
    assert equal(base, played(0, 0))
    assert not equal(base, played(1, 0))
    assert not equal(base, played(0, 1))


def seeded(network, **arguments):
    torch.manual_seed(0)
    return network(**arguments)


NETWORKS = {
    "mlp with dropout": (partial(MLPGenerator, width=8), partial(MLPDiscriminator, width=8, dropout=0.4)),
    "batch norm": (partial(DCGANGenerator, width=4), partial(DCGANDiscriminator, width=4)),
    "spectral norm": (partial(ResNetGenerator, width=4), partial(ResNetDiscriminator, width=4)),
}
networks = pytest.mark.parametrize(("generator", "discriminator"), NETWORKS.values(), ids=NETWORKS.keys())


def surroundings(gan):
    """Everything that looking at a game must leave as it is."""
    modes = [module.training for module in gan.modules()]
    wants = [p.requires_grad for p in gan.parameters()]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    return weights(gan), torch.get_rng_state(), modes, wants, python, numpy[1].tolist(), numpy[2]


def unchanged(before, after):
    return equal(before[0], after[0]) and torch.equal(before[1], after[1]) and before[2:] == after[2:]


@pytest.fixture(scope="module")
def evaluation():
    data = Digits(batch_size=4)
    evaluation = Evaluation(Classifier("digits"), ["fid"], num_samples=70, batch_size=70)
    evaluation.prepare(data.train)
    return evaluation


@networks
@pytest.mark.parametrize("ema", [None, EMA(decay=0.9)], ids=["raw", "ema"])
def test_looking_at_a_game_leaves_it_as_it_is(generator, discriminator, ema, game, evaluation):
    gan = game(generator=generator, discriminator=discriminator, ema=ema, resolution=8).train()
    next(gan.generator.children()).eval()  # a part that the user keeps in evaluation mode
    images = torch.randn(6, 1, 8, 8)
    sampler = gan.sampler()
    looks = {
        "sample": lambda: sampler.sample(20, seed=3),
        "bytes": lambda: sampler.sample_uint8(20, seed=3),
        "evaluate": lambda: evaluation(lambda start, stop: sampler.sample_uint8(stop - start, start=start)),
    }
    for name, look in looks.items():
        before = surroundings(gan)
        look()
        assert unchanged(before, surroundings(gan)), name
    before = surroundings(gan)
    probed = gan.objective.forward.probe(images, None)
    after = surroundings(gan)
    assert probed.shape == (6,)
    assert not probed.requires_grad
    assert equal(before[0], after[0])
    assert before[2:4] == after[2:4]


@pytest.mark.parametrize("name", ["batch norm", "spectral norm"])
def test_these_looks_would_change_something_if_nobody_took_care(name, game):
    """The buffers that the test above compares do move in a plain forward pass."""
    generator, discriminator = NETWORKS[name]
    gan = game(generator=generator, discriminator=discriminator, resolution=8).train()
    for network, inputs in ((gan.discriminator, torch.randn(6, 1, 8, 8)), (gan.generator, torch.randn(6, 3))):
        buffers = [b.clone() for b in network.buffers()]
        if buffers:
            network(inputs)
            assert not equal(buffers, list(network.buffers()))
    assert list(gan.buffers())


def test_probe_answers_as_in_training(game):
    gan = game(
        generator=partial(DCGANGenerator, width=4), discriminator=partial(DCGANDiscriminator, width=4), resolution=8
    ).train()
    images = torch.randn(6, 1, 8, 8)
    probed = gan.objective.forward.probe(images, None)
    assert torch.equal(probed, gan.discriminator(images).logits.detach())  # with the batch's own statistics


@networks
def test_a_watched_game_is_the_same_game(generator, discriminator, play, evaluation, tmp_path):
    """Samples, metrics, the log with held-out reals after every round: not a bit of the training differs."""
    arguments = {"rounds": 3, "ema": EMA(decay=0.9), "optimizer": ADAM, "resolution": 8, "log_every": 1}
    arguments |= {"generator": generator, "discriminator": discriminator}
    quiet = play(data=Digits(batch_size=8), **arguments)
    watchers = [Log(), SampleGrid(tmp_path, 1, count=4), Evaluate(evaluation, 1)]
    watched = play(data=Digits(batch_size=8), callbacks=watchers, **arguments)
    assert equal(everything(quiet), everything(watched))
    assert len(list(tmp_path.iterdir())) == 5  # and the real samples
    assert watchers[0].board.row.keys() >= {"logits/heldout", "loss/generator", "game/value"}


# --- resuming ------------------------------------------------------------------------------------------------------


class Rows(pl.Callback):
    """The rows of the log, as Log makes them, without the clock's; and a checkpoint after round `save_at`."""

    def __init__(self, save_at=None, path=None):
        self.save_at, self.path, self.rows = save_at, path, {}

    def on_train_batch_end(self, trainer, gan, *args):
        if gan.loss_log.due(gan.round):
            self.rows[gan.round] = {name: v.tolist() for name, v in gan.loss_log.flush().items()}
        if gan.round == self.save_at:
            trainer.save_checkpoint(self.path)


def full(generator, discriminator, k=1, **changes):
    """A game in which everything that has a state has one."""
    decay = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9)
    return {
        "rounds": 9,
        "log_every": 5,
        "resolution": 8,
        "schedule": Schedule(k),
        "regularizers": {
            "r1": R1(every=4),
            "dragan": DRAGAN(weight=0.1),
            "lecam": LeCam(),
            "weight_clipping": WeightClipping(0.5),
        },
        "augmentations": {"noise": InstanceNoise(anneal=12)},
        "ema": EMA(half_life_kimg=0.1, ramp_up=0.3),
        "optimizer": ADAM,
        "generator_lr_schedule": decay,
        "discriminator_lr_schedule": decay,
        "generator": generator,
        "discriminator": discriminator,
    } | changes


@networks
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("cut", [3, 7])
def test_a_resumed_game_equals_the_uninterrupted_one_bit_for_bit(generator, discriminator, k, cut, play, tmp_path):
    arguments = full(generator, discriminator, k)
    data = partial(Digits, batch_size=8, flip=True)
    first = Rows(save_at=cut, path=tmp_path / "cut.ckpt")
    whole = play(data=data(), callbacks=[first], **arguments)
    arguments = full(generator, discriminator, k)  # with regularisers that have seen nothing yet
    torch.manual_seed(12345)
    torch.rand(17)
    second = Rows()
    resumed = play(data=data(), callbacks=[second], checkpoint=tmp_path / "cut.ckpt", **arguments)
    assert resumed.resumed
    assert not whole.resumed
    assert (resumed.round, resumed.images_seen, resumed.updates) == (9, 9 * 8 * k, whole.updates)
    assert resumed.player_optimizers.learning_rates() == whole.player_optimizers.learning_rates()
    assert equal(everything(whole), everything(resumed))
    assert list(first.rows) == [5, 9]
    assert second.rows == {round: row for round, row in first.rows.items() if round > cut}
    assert repr(whole.loss_log.flush()) == repr(resumed.loss_log.flush())


def test_a_game_stopped_in_between_goes_on_the_same(play, tmp_path):
    """The run that is interrupted saves after its last round, as on Ctrl-C."""

    class Stop(pl.Callback):
        def on_train_batch_end(self, trainer, gan, *args):
            if gan.round == 4:
                trainer.should_stop = True
                trainer.save_checkpoint(tmp_path / "stop.ckpt")

    arguments = partial(full, *NETWORKS["mlp with dropout"])
    stopped = play(data=Digits(batch_size=8), callbacks=[Stop()], **arguments())
    assert stopped.round == 4
    resumed = play(data=Digits(batch_size=8), checkpoint=tmp_path / "stop.ckpt", **arguments())
    whole = play(data=Digits(batch_size=8), **arguments())
    assert equal(everything(whole), everything(resumed))


def test_a_finished_game_plays_no_more(play, tmp_path):
    rows = Rows(save_at=3, path=tmp_path / "end.ckpt")
    done = play(rounds=3, callbacks=[rows])
    again = play(rounds=3, checkpoint=tmp_path / "end.ckpt")
    assert again.round == 3
    assert equal(weights(done), weights(again))
    assert play(rounds=5, checkpoint=tmp_path / "end.ckpt").round == 5


OTHER_GAMES = {
    "width": ({"discriminator": partial(MLPDiscriminator, width=9, depth=1)}, "discriminator.width: 8 -> 9"),
    "class": (
        {"discriminator": partial(DCGANDiscriminator, width=4)},
        r"discriminator._target_: gan_research.networks.mlp.MLPDiscriminator -> .*dcgan.DCGANDiscriminator",
    ),
    "depth": ({"generator": partial(MLPGenerator, width=8, depth=2)}, "generator.depth: 1 -> 2"),
    "average": ({"ema": EMA(decay=0.5)}, "ema: False -> True"),
}


@pytest.mark.parametrize(("change", "difference"), OTHER_GAMES.values(), ids=OTHER_GAMES.keys())
def test_another_game_is_refused_with_the_difference(change, difference, play, tmp_path):
    arguments = {"rounds": 2, "resolution": 8}
    play(data=Digits(batch_size=4), callbacks=[Rows(1, tmp_path / "a.ckpt")], **arguments)
    with pytest.raises(UserError, match=f"the checkpoint holds another game: .*{difference}"):
        play(data=Digits(batch_size=4), checkpoint=tmp_path / "a.ckpt", **arguments | change)


def test_a_checkpoint_of_another_program_is_refused(play, tmp_path):
    play(rounds=1, callbacks=[Rows(1, tmp_path / "a.ckpt")])
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    del checkpoint["gan_research"]
    torch.save(checkpoint, tmp_path / "a.ckpt")
    with pytest.raises(UserError, match="a checkpoint of another program"):
        play(rounds=2, checkpoint=tmp_path / "a.ckpt")


# --- trouble, waiting for the device -------------------------------------------------------------------------------


class Poison(Regularizer):
    """A penalty that isn't finite from the `at`-th update of D on (counted from 0)."""

    def __init__(self, at, value):
        super().__init__()
        self.left, self.value = at, value

    def penalty(self, step):
        self.left -= 1
        return step.fake.out.logits * 0 + (self.value if self.left < 0 else 1.0)


@pytest.mark.parametrize(("value", "kind"), [(float("nan"), "NaN"), (float("inf"), "infinite")])
@pytest.mark.parametrize(("k", "at", "round"), [(1, 0, 1), (1, 3, 4), (2, 4, 3), (2, 5, 3)])
def test_a_loss_that_is_not_finite_stops_its_round_and_is_named(k, at, round, value, kind, game, play):
    gan = game(rounds=9, regularizers={"poison": Poison(at, value)}, schedule=Schedule(k), log_every=100)
    with pytest.raises(Diverged, match=f"^round {round}: loss/poison is {kind}, training stopped$"):
        play(gan=gan)
    assert gan.round == round


class Broken(NonSaturating):
    def generator(self, fake_logits, real_logits=None):
        return super().generator(fake_logits) * float("nan")


def test_a_loss_of_the_generator_is_named_too(play):
    with pytest.raises(Diverged, match=r"^round 1: loss/generator is NaN, training stopped$"):
        play(rounds=3, loss=Broken())


class Waits(pl.Callback):
    """In which rounds, the callbacks before this one included, a tensor is brought to the host."""

    def __init__(self, monkeypatch):
        self.calls = Counter()
        self.round = 0
        for name in ("item", "tolist", "numpy", "__float__", "__int__"):
            monkeypatch.setattr(torch.Tensor, name, self._counted(name, getattr(torch.Tensor, name)))

    def _counted(self, name, original):
        def counted(*args, **kwargs):
            self.calls[self.round] += self.round > 0
            return original(*args, **kwargs)

        return counted

    def on_train_start(self, trainer, gan):
        self.round = 1

    def on_train_batch_end(self, trainer, gan, *args):
        self.round = gan.round + 1 if gan.round < gan.rounds else 0


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_nothing_comes_to_the_host_between_logging_intervals(precision, play, monkeypatch):
    waits, log = Waits(monkeypatch), Log()
    monkeypatch.setattr(LossLog, "check", lambda *args: None)  # of the CPU alone, where a look costs nothing
    play(
        rounds=12,
        callbacks=[log, Health(board=log.board), waits],
        log_every=5,
        precision=precision,
        ema=EMA(half_life_kimg=0.1, ramp_up=0.3),
        regularizers={"r1": R1(every=2), "gradient_penalty": GradientPenalty(), "clip": WeightClipping(1.0)},
        generator_lr_schedule=partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.9),
    )
    assert {round for round, calls in waits.calls.items() if calls} == {5, 10, 12}


def test_lightnings_step_counter_is_used_nowhere():
    sources = sorted(Path(gan_research.__file__).parent.rglob("*.py"))
    assert len(sources) > 40
    assert [str(path) for path in sources if re.search(r"global_step", path.read_text())] == []


# --- what components see -------------------------------------------------------------------------------------------


class Look(Regularizer):
    players = ("discriminator", "generator")

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.steps = {"discriminator": [], "generator": []}

    def penalty(self, step):
        self.steps[step.player].append(step)
        assert torch.equal(step.D(step.fake.images).logits, step.fake.out.logits)
        assert torch.equal(step.G(step.latents), step.fake.images)
        return torch.zeros(len(step.fake.images))


def test_a_regularizer_sees_the_step_as_it_is(play):
    look = Look()
    gan = play(rounds=2, num_classes=3, regularizers={"look": look}, schedule=Schedule(2, 1))
    assert [len(steps) for steps in look.steps.values()] == [4, 2]
    for player, steps in look.steps.items():
        for step in steps:
            assert step.real.images.shape == step.fake.images.shape == (4, 1, 4, 4)
            assert step.real.condition.shape == (4,)
            assert step.fake.condition is step.real.condition
            assert step.latents.shape == (4, 3)
            assert step.loss is gan.loss
            assert step.networks == {"discriminator": gan.discriminator, "generator": gan.generator}
            assert step.fake.images.requires_grad is (player == "generator")
            assert (step.real.out is None) is (player == "generator")
            assert step.own_side is (step.real if player == "discriminator" else step.fake)
    with pytest.raises(AttributeError):
        look.steps["generator"][0].real = None
    assert replace(step, real=None).real is None


class Blank(Augmentation):
    """D sees nothing of the images."""

    def forward(self, images, side, context):
        return images * 0


def test_images_are_changed_before_each_call_of_the_discriminator(game, play):
    gan = game(rounds=2, augmentations={"blank": Blank()})
    shown = []
    gan.discriminator.register_forward_pre_hook(lambda network, inputs: shown.append(inputs[0].abs().max().item()))
    before = weights(gan.generator)
    play(gan=gan)
    assert shown == [0.0] * 6
    assert equal(before, weights(gan.generator))  # G learns nothing from a D that sees nothing


class LatentConsistency(Regularizer):
    """A penalty of D's that calls the generator: D shall give near latents' images the same logits."""

    def penalty(self, step):
        near = step.G(step.latents + 0.1 * step.noise.normal("near", 3))
        return (step.D(near).logits - step.fake.out.logits).square()


class FirstGradients(pl.Callback):
    """Keeps both players' gradients as they are before the first optimizer step."""

    def on_train_start(self, trainer, gan):
        self.gradients = {}
        self.handle = register_optimizer_step_pre_hook(partial(self._keep, gan))

    def _keep(self, gan, optimizer, *args):
        if not self.gradients:
            for player in ("discriminator", "generator"):
                self.gradients[player] = [
                    p.grad.clone() for p in gan.objective.networks[player].parameters() if p.grad is not None
                ]

    def on_train_end(self, trainer, gan):
        self.handle.remove()


def test_a_penalty_of_d_that_calls_the_generator_leaves_its_gradient_alone(play):
    found = []
    for regularizers in ({}, {"consistency": LatentConsistency(weight=10.0)}):
        watch = FirstGradients()
        play(1, schedule=Schedule(updates="simultaneous"), regularizers=regularizers, callbacks=[watch])
        found.append(watch.gradients)
    plain, penalised = found
    assert len(plain["generator"]) == 4
    assert all(map(torch.equal, plain["generator"], penalised["generator"]))
    assert not all(map(torch.equal, plain["discriminator"], penalised["discriminator"]))
