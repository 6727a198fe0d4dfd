"""The average of the generator's weights."""

from functools import partial

import pytest
import torch

from gan_research.networks import DCGANDiscriminator, DCGANGenerator, MLPGenerator
from gan_research.training.ema import EMA
from gan_research.training.gan import tensors
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
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
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        EMA(**arguments)


def test_parameters_are_averaged_and_buffers_copied():
    network = DCGANGenerator(latent_dim=3, samples=SampleSpec(8, 1), width=4)
    average = DCGANGenerator(latent_dim=3, samples=SampleSpec(8, 1), width=4)
    network(torch.randn(5, 3))  # its batch statistics move
    start = [p.detach().clone() for p in average.parameters()]
    EMA(decay=0.75).update(tensors(average), tensors(network), 0.75)
    for was, now, new in zip(start, average.parameters(), network.parameters(), strict=True):
        assert (now - (0.75 * was + 0.25 * new)).abs().max().item() < 1e-6
    buffers = dict(network.named_buffers())
    assert len(buffers) >= 3
    for name, kept in average.named_buffers():
        assert torch.equal(kept, buffers[name])


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
