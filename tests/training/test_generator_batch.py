"""The generator's updates may take more fakes than the discriminator's: schedule.generator_batch_multiple."""

from functools import partial

import pytest
import torch
from torch.nn.functional import softplus

from gan_research.augmentations import InstanceNoise
from gan_research.losses import NonSaturating, Relativistic
from gan_research.networks import MLPDiscriminator
from gan_research.regularizers import Consensus
from gan_research.training.minibatch import Minibatch
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise, stream_seed


def distance(first, second):
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return max((a - b).abs().max().item() for a, b in pairs)


@pytest.mark.parametrize("multiple", [1, 2, 3])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_g_moves_on_that_many_minibatches_in_one_pass_and_d_on_one(multiple, accumulation, game, play):
    gan, made = game(rounds=2, schedule=Schedule(2, 1, "alternating", multiple), accumulation=accumulation), []
    gan.generator.register_forward_hook(lambda module, inputs, out: made.append((out.requires_grad, len(out))))
    play(gan=gan)
    size = 4 // accumulation
    assert made == 2 * ([(False, size)] * 2 * accumulation + [(True, multiple * size)] * accumulation)
    assert gan.images_seen == 2 * 2 * 4  # of reals


def test_the_step_is_along_the_gradient_of_one_big_batch(game, play):
    """D stands still, so that G's first update is known: w - rate * gradient of the mean over all 12 fakes."""
    rate = 0.8
    arguments = {"schedule": Schedule(1, 1, "alternating", 3), "seed": 5}
    still, moving = (partial(torch.optim.SGD, lr=lr) for lr in (0.0, rate))
    played = play(rounds=1, discriminator_optimizer=still, generator_optimizer=moving, **arguments)
    gan = game(**arguments)
    latents = Noise(stream_seed(5, "generator"), 0, 12, 0, 12).sample("latents", gan.prior.sample)
    parameters = list(gan.generator.parameters())
    slopes = torch.autograd.grad(softplus(-gan.discriminator(gan.generator(latents)).logits).mean(), parameters)
    for new, old, slope in zip(played.generator.parameters(), parameters, slopes, strict=True):
        assert (new - (old - rate * slope)).abs().max() < 1e-6
        assert slope.abs().max() > 1e-4


@pytest.mark.parametrize(("accumulation", "packing"), [(2, 1), (4, 2)])
def test_accumulation_changes_nothing(accumulation, packing, play):
    arguments = {
        "rounds": 4,
        "batch_size": 8,
        "schedule": Schedule(2, 2, "alternating", 2),
        "discriminator": partial(MLPDiscriminator, width=8, depth=1, packing=packing),
    }
    one, parts = (
        play(accumulation=n, augmentations={"noise": InstanceNoise(0.3)}, **arguments) for n in (1, accumulation)
    )
    assert distance(one, parts) < 1e-6


def test_each_label_of_the_minibatch_is_taken_as_often(game, play):
    gan, labels = game(rounds=2, num_classes=3, schedule=Schedule(1, 1, "alternating", 2)), []
    gan.generator.register_forward_pre_hook(lambda module, inputs: labels.append(inputs[1].tolist()))
    play(gan=gan)
    for of_d, of_g in zip(labels[::2], labels[1::2], strict=True):
        assert of_g == [label for label in of_d for _ in range(2)]


def test_packs_stay_whole():
    images, labels = torch.arange(4.0)[:, None, None, None], torch.arange(4)
    many = Minibatch(images, labels).repeated(2, packing=2)
    assert many.labels.tolist() == many.images.flatten().tolist() == [0, 1, 0, 1, 2, 3, 2, 3]


def test_a_penalty_of_both_players_sees_as_many_reals(play):
    gan = play(rounds=2, schedule=Schedule(1, 1, "alternating", 2), regularizers={"consensus": Consensus()})
    assert gan.updates == {"discriminator": 2, "generator": 2}


def test_what_can_not_be_is_refused(game):
    with pytest.raises(UserError, match="generator_batch_multiple=0: give at least 1"):
        Schedule(generator_batch_multiple=0)
    with pytest.raises(UserError, match=r"=2: in simultaneous updates both players use the same fakes: set updates="):
        Schedule(1, 1, "simultaneous", 2)
    message = r"Relativistic compares each fake with a real sample, and .*multiple=2 generates more fakes: set it to 1"
    with pytest.raises(UserError, match=message):
        game(loss=Relativistic(NonSaturating()), schedule=Schedule(1, 1, "alternating", 2))
