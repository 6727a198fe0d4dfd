"""Training with the channels last in memory."""

from functools import partial

import pytest
import torch

from gan_research.data import Digits
from gan_research.networks import ResNetDiscriminator, ResNetGenerator
from gan_research.regularizers import R1
from gan_research.training.ema import EMA

ADAM = partial(torch.optim.Adam, lr=1e-3)


@pytest.fixture
def train(play):
    networks = {
        "generator": partial(ResNetGenerator, width=4, max_width=8),
        "discriminator": partial(ResNetDiscriminator, width=4, max_width=8),
    }

    def train(**arguments):
        return play(
            data=Digits(batch_size=8), resolution=8, ema=EMA(decay=0.5), optimizer=ADAM, regularizers={"r1": R1(0.1)},
            **networks, **arguments,
        )  # fmt: skip

    return train


def test_it_is_the_same_game(train):
    plain, last = (train(rounds=3, precision="64", channels_last=on) for on in (False, True))
    for (key, a), b in zip(plain.state_dict().items(), last.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=key)
    for network in (last.generator, last.generator_ema, last.discriminator):
        weight = network.blocks[0].conv1.weight if network is not last.discriminator else network.body[1].conv1.weight
        assert weight.is_contiguous(memory_format=torch.channels_last)
        assert not weight.is_contiguous()
    moments = last.optimizers()[1].state[last.generator.blocks[0].conv1.weight]["exp_avg"]
    assert moments.is_contiguous(memory_format=torch.channels_last)


def test_it_resumes_bit_for_bit(train, tmp_path):
    path = tmp_path / "last.ckpt"
    whole = train(rounds=4, channels_last=True)
    half = train(rounds=2, channels_last=True)
    half.trainer.save_checkpoint(path)
    resumed = train(rounds=4, channels_last=True, checkpoint=path)
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key
