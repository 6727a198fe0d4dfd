"""The average of the generator's weights."""

import shutil
from functools import partial
from typing import get_args

import pytest
import pytorch_lightning as pl
import torch

from gan_research.callbacks import Checkpoints
from gan_research.callbacks.snapshots import Snapshots
from gan_research.networks import DCGANDiscriminator, DCGANGenerator, MLPGenerator
from gan_research.networks.layers import spectral
from gan_research.sampling.load import load
from gan_research.training.ema import EMA, Buffers, PowerEMA
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.power_functions import exponent
from gan_research.utils.sample_spec import SampleSpec


def test_the_exact_recurrence():
    average, network = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 5.0])
    expected = average.double()
    ema = EMA(decay=0.9)
    for step in range(20):
        ema.update(([average], []), ([network * step], []), ema.decay_at(64, 64 * (step + 1)))
        expected = 0.9 * expected + 0.1 * network.double() * step
    assert average.tolist() == pytest.approx(expected.tolist(), rel=1e-6)


@pytest.mark.parametrize("images", [50, 100, 500])
def test_after_a_half_life_the_start_weighs_one_half(images):
    """0.5 kimg, whatever the images of a round."""
    ema = EMA(half_life_kimg=0.5)
    average, network = torch.ones(1), torch.zeros(1)
    for played in range(500 // images):
        ema.update(([average], []), ([network], []), ema.decay_at(images, images * (played + 1)))
    assert average.item() == pytest.approx(0.5, abs=1e-6)


def test_ramp_up_shortens_the_half_life_to_a_share_of_the_images_seen():
    ema = EMA(half_life_kimg=10.0, ramp_up=0.05)
    assert ema.decay_at(64, 1280) == pytest.approx(0.5 ** (64 / 64), rel=1e-12)  # 5 % of 1280 images
    assert ema.decay_at(64, 20000) == pytest.approx(0.5 ** (64 / 1000), rel=1e-12)
    for seen in (200_000, 10_000_000):  # 5 % of 200 kimg are the 10 kimg asked for
        assert ema.decay_at(64, seen) == pytest.approx(0.5 ** (64 / 10000), rel=1e-12)
    assert EMA(half_life_kimg=10.0).decay_at(64, 1280) == pytest.approx(0.5 ** (64 / 10000), rel=1e-12)


def test_a_decay_is_that_of_a_round_whatever_its_images():
    assert [EMA(decay=0.999).decay_at(n, 10 * n) for n in (1, 64, 5000)] == [0.999] * 3


WRONG = [
    ({}, "give either"),
    ({"decay": 0.9, "half_life_kimg": 1.0}, "give either"),
    ({"decay": 1.0}, "ema.decay=1.0: give a number from 0"),
    ({"decay": -0.1}, "ema.decay=-0.1: give a number from 0"),
    ({"decay": 0.9, "ramp_up": 0.05}, "ema.ramp_up needs ema.half_life_kimg"),
    ({"decay": 0.9, "start": -1}, "ema.start is -1"),
    ({"decay": 0.9, "buffers": "averaged"}, "ema.buffers 'averaged'"),
    ({"decay": 0.9, "recompute_batches": 0}, "ema.recompute_batches is 0"),
]


WRONG_POWER = [
    ({"profiles": [0.05, 0.3]}, "ema.profiles: 0.3"),
    ({"profiles": []}, "ema.profiles="),
    ({"profiles": [0.1, 0.1]}, "ema.profiles="),
    ({"snapshot_every": 0}, "ema.snapshot_every is 0"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG_POWER)
def test_profiles_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        PowerEMA(**arguments)


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        EMA(**arguments)


def batch_norm_generator(seed=0):
    """A generator with batch norm, and spectral norm's vectors."""
    torch.manual_seed(seed)
    network = DCGANGenerator(latent_dim=3, samples=SampleSpec(8, 1), width=4)
    spectral(network)
    return network


@pytest.mark.parametrize("buffers", get_args(Buffers))
def test_parameters_are_averaged_and_buffers_as_chosen(buffers):
    """Statistics of batch norm are copied, averaged, or left to be recomputed; all other buffers are copied."""
    network, average = batch_norm_generator(), batch_norm_generator(1)
    network(torch.randn(5, 3))  # its batch statistics and vectors move
    start = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    ema = EMA(decay=0.75, buffers=buffers)
    ema.update(ema.tensors(average), ema.tensors(network), 0.75)
    parameters, new = dict(average.named_parameters()), network.state_dict()
    kinds = dict.fromkeys(("running", "num_batches", "_u", "_v"), 0)
    for name, now in average.state_dict().items():
        statistic = "running" in name
        if name in parameters or (statistic and buffers == "average"):
            assert (now - (0.75 * start[name] + 0.25 * new[name])).abs().max().item() < 1e-6
        else:
            assert torch.equal(now, start[name] if statistic and buffers == "recompute" else new[name])
        for kind in kinds:
            kinds[kind] += kind in name and not torch.equal(start[name], new[name])
    assert all(kinds.values()), kinds


def test_a_generator_without_batch_norm_has_nothing_to_recompute():
    with pytest.raises(UserError, match="buffers=recompute: MLPGenerator has no running statistics"):
        EMA(decay=0.5, buffers="recompute").copies(MLPGenerator(3, SampleSpec(8, 1), width=4))


class Saved(pl.Callback):
    """Keeps the generator and its averages after each round, and a checkpoint of one of them."""

    def __init__(self, path=None, at=None):
        self.path, self.at, self.weights, self.averages = path, at, [], []

    def on_train_batch_end(self, trainer, gan, *args):
        self.weights.append({name: tensor.clone() for name, tensor in gan.generator.state_dict().items()})
        if gan.round == self.at:
            trainer.save_checkpoint(self.path)
        if gan.ema is not None:
            states = [average.state_dict() for average in gan.averages]
            self.averages.append([{name: tensor.clone() for name, tensor in state.items()} for state in states])


BATCH_NORM = {
    "generator": partial(DCGANGenerator, width=4),
    "discriminator": partial(DCGANDiscriminator, width=4),
    "resolution": 8,
}


def test_the_average_is_a_copy_up_to_the_start(play):
    saved = Saved()
    play(rounds=6, ema=EMA(decay=0.6, start=3, buffers="average"), callbacks=[saved], data=digits(), **BATCH_NORM)
    expected = None
    for round, (weights, (average,)) in enumerate(zip(saved.weights, saved.averages, strict=True), 1):
        if round <= 3:
            expected = {name: tensor.double() for name, tensor in weights.items()}
            assert all(torch.equal(average[name], tensor) for name, tensor in weights.items())
            continue
        for name, tensor in weights.items():
            if tensor.is_floating_point():
                expected[name] = 0.6 * expected[name] + 0.4 * tensor.double()
                assert (average[name] - expected[name]).abs().max().item() < 1e-6
            else:
                assert torch.equal(average[name], tensor)
        assert any(not torch.equal(average[name], tensor) for name, tensor in weights.items())


def test_recomputed_statistics_are_a_function_of_seed_and_round(play, tmp_path):
    """They change nothing in training, and a checkpoint has those of its round."""
    path = tmp_path / "cut.ckpt"
    ema = EMA(decay=0.6, buffers="recompute", recompute_batches=3)
    play = partial(play, rounds=5, seed=2, **BATCH_NORM)
    plain, saved = Saved(), Saved(path, at=4)
    play(ema=None, callbacks=[plain], data=digits())
    gan = play(ema=ema, callbacks=[saved], data=digits())
    assert all(torch.equal(a[name], b[name]) for a, b in zip(plain.weights, saved.weights, strict=True) for name in a)
    found = {name: tensor.clone() for name, tensor in gan.sampler().generator.state_dict().items()}
    statistics = [name for name in found if "running" in name]
    assert any(not torch.equal(found[name], saved.weights[-1][name]) for name in statistics)

    resumed = play(ema=ema, checkpoint=path, data=digits())
    again = resumed.sampler().generator.state_dict()
    assert all(torch.equal(found[name], again[name]) for name in found)

    four = torch.load(path, weights_only=True)["state_dict"]
    states = gan.generator_ema.state_dict()
    states = {name: four[f"generator_ema.{name}"] for name in states}
    gan.generator_ema.load_state_dict(states)
    gan.round = 4
    gan.recompute_statistics()
    assert all(torch.equal(gan.generator_ema.state_dict()[name], states[name]) for name in statistics)
    assert any(not torch.equal(found[name], states[name]) for name in statistics)


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("n", [1, 2])
def test_a_game_averages_its_generator_once_a_round(k, n, play):
    """Against the recurrence over the generator as it stood after each round."""
    rounds, weights = 4, []

    class Watched(EMA):
        def update(self, average, network, decay):
            weights.append([p.detach().clone() for p in network[0]])
            super().update(average, network, decay)

    make = partial(MLPGenerator, width=8, depth=1)
    gan = play(
        rounds=rounds, ema=Watched(decay=0.8), schedule=Schedule(k, n), generator=make, optimizer=large_sgd, seed=3
    )
    fresh = play(rounds=0, schedule=Schedule(k, n), generator=make, seed=3)  # the weights that it started with
    assert len(weights) == rounds
    expected = [p.detach().double() for p in fresh.generator.parameters()]
    for new in weights:
        expected = [0.8 * e + 0.2 * p.double() for e, p in zip(expected, new, strict=True)]
    assert all(torch.equal(p, w) for p, w in zip(gan.generator.parameters(), weights[-1], strict=True))
    for kept, e, live in zip(gan.generator_ema.parameters(), expected, gan.generator.parameters(), strict=True):
        assert (kept - e).abs().max().item() < 1e-6
        assert (kept - live).abs().max().item() > 1e-5
        assert not kept.requires_grad


@pytest.mark.parametrize("k", [1, 3])
def test_a_half_life_in_kimg_uses_the_images_of_the_round(k, play):
    decays = []

    class Watched(EMA):
        def update(self, average, network, decay):
            decays.append(decay)
            super().update(average, network, decay)

    play(rounds=3, batch_size=6, ema=Watched(half_life_kimg=0.1, ramp_up=0.5), schedule=Schedule(k))
    half_lives = [min(100, 0.5 * 6 * k * r) for r in (1, 2, 3)]
    assert decays == pytest.approx([0.5 ** (6 * k / h) for h in half_lives], rel=1e-12)


POWER = partial(PowerEMA, profiles=(0.2, 0.1), snapshot_every=4)


def test_averages_of_power_functions_are_kept_side_by_side(play, tmp_path):
    """The average after round T is the sum of ((t / T)^(gamma + 1) - ((t - 1) / T)^(gamma + 1)) times the weights."""
    saved = Saved(tmp_path / "cut.ckpt", at=5)
    whole = play(rounds=8, ema=POWER(), callbacks=[saved], data=digits(), **BATCH_NORM)
    for sigma, average in zip((0.2, 0.1), whole.averages, strict=True):
        masses = torch.linspace(0, 1, 9, dtype=torch.float64).pow(exponent(sigma) + 1).diff()
        for name, tensor in average.state_dict().items():
            if tensor.is_floating_point():
                mean = sum(mass * weights[name].double() for mass, weights in zip(masses, saved.weights, strict=True))
                assert (tensor - mean).abs().max().item() < 1e-6
    assert whole.sampler().generator is whole.generator_ema is whole.averages[0]
    resumed = play(rounds=8, ema=POWER(), checkpoint=tmp_path / "cut.ckpt", data=digits(), **BATCH_NORM)
    state = whole.state_dict()
    assert len([name for name in state if name.startswith("further_averages.0.")]) == len(saved.weights[0])
    assert all(torch.equal(tensor, state[name]) for name, tensor in resumed.state_dict().items())
    with pytest.raises(UserError, match=r"profiles: \[0.2, 0.1\] -> \[0.2\]"):
        play(rounds=8, ema=POWER(profiles=[0.2]), checkpoint=tmp_path / "cut.ckpt", data=digits(), **BATCH_NORM)


def kept(folder, play, ema, rounds=40, **arguments):
    """The path of the last checkpoint of a game that saves its averages in a run's folder."""
    snapshots = [Snapshots(folder / "averages", ema.snapshot_every)] if ema.snapshot_every else []
    callbacks = [*snapshots, Checkpoints(folder / "checkpoints", 20, best=None)]
    play(rounds=rounds, ema=ema, callbacks=callbacks, data=digits(), **(BATCH_NORM | arguments))
    return folder / "checkpoints" / "last.ckpt"


@pytest.mark.parametrize("buffers", get_args(Buffers))
def test_another_average_is_reconstructed_from_snapshots(buffers, play, tmp_path):
    """It equals that of a game which keeps it, its statistics of batch norm too, as each mode defines them."""
    stored = kept(tmp_path / "two", play, POWER(buffers=buffers))
    direct = kept(tmp_path / "one", play, POWER(profiles=[0.15], buffers=buffers))
    found, expected = (load(path, ema=0.15).generator.state_dict() for path in (stored, direct))
    first = load(stored).generator.state_dict()
    apart = near = 0.0
    for name, tensor in expected.items():
        if tensor.is_floating_point():
            near = max(near, (found[name] - tensor).abs().max().item())
            apart = max(apart, (first[name] - tensor).abs().max().item())
        else:
            assert torch.equal(found[name], tensor)
    assert near < 1e-3
    assert apart > 5e-3
    again = load(tmp_path / "two" / "averages" / "round_00000040.ckpt", ema=0.1).generator.state_dict()
    assert all(
        torch.equal(again[name], tensor) for name, tensor in load(stored, ema=0.1).generator.state_dict().items()
    )


def test_snapshots_after_the_checkpoint_are_deleted(play, tmp_path):
    checkpoint = kept(tmp_path, play, POWER())
    folder = tmp_path / "averages"
    names = [f"round_{round:08}.ckpt" for round in range(4, 41, 4)]
    assert sorted(path.name for path in folder.iterdir()) == names
    (folder / "round_00000044.ckpt").write_bytes(b"of a run that was killed")
    callbacks = [Snapshots(folder, 4), Checkpoints(tmp_path / "checkpoints", 20, best=None)]
    arguments = {"ema": POWER(), "data": digits(), "callbacks": callbacks, **BATCH_NORM}
    play(rounds=41, checkpoint=checkpoint, **arguments)
    assert sorted(path.name for path in folder.iterdir()) == [*names, "round_00000041.ckpt"]


IMPOSSIBLE = {
    "out of range": ({"ema": 0.3}, "--ema 0.3: give a relative standard deviation above 0 and below 0.2887"),
    "far from those kept": ({"ema": 0.01}, "--ema 0.01 can't be reconstructed from 9 snapshots of 0.2 and 0.1"),
    "of the generator itself": ({"ema": 0.1, "raw": True}, "--raw is the generator itself, and --ema 0.1 an average"),
}


def test_impossible_averages_are_refused(play, tmp_path):
    run = kept(tmp_path / "power", play, POWER())
    for arguments, message in IMPOSSIBLE.values():
        with pytest.raises(UserError, match=message):
            load(run, **arguments)
    shutil.copy(run, tmp_path / "moved.ckpt")
    with pytest.raises(UserError, match=r"has no snapshots before round 40, and .* has only 0.2 and 0.1"):
        load(tmp_path / "moved.ckpt", ema=0.15)
    assert load(tmp_path / "moved.ckpt", ema=0.1)
    other = kept(tmp_path / "decay", play, EMA(decay=0.5), rounds=2)
    with pytest.raises(UserError, match="has no averages of power functions: train with ema=power"):
        load(other, ema=0.1)
    content = torch.load(run, weights_only=True)
    content["gan_research"]["power"]["profiles"] = [0.2, 0.09]
    torch.save(content, run)
    with pytest.raises(UserError, match="has other averages than"):
        load(run, ema=0.15)


def test_the_average_holds_no_discriminator_and_always_evaluates(play):
    discriminator = partial(DCGANDiscriminator, width=4)
    gan = play(
        rounds=2,
        ema=EMA(decay=0.5),
        generator=partial(DCGANGenerator, width=4),
        discriminator=discriminator,
        resolution=8,
        data=digits(),
    )
    assert [name for name, _ in gan.generator_ema.named_parameters()] == [
        name for name, _ in gan.generator.named_parameters()
    ]
    for kept, live in zip(gan.generator_ema.buffers(), gan.generator.buffers(), strict=True):
        assert torch.equal(kept, live)
    gan.train()
    assert gan.generator.training
    assert not any(module.training for module in gan.generator_ema.modules())


def digits():
    from gan_research.data import Digits

    return Digits(batch_size=4)


def large_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.5)
