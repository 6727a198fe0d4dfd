"""A new game starts from the weights of a checkpoint or an export, if they fit."""

import pytest
import torch

from gan_research.callbacks import Checkpoints
from gan_research.checkpoints.io import MARK, read_checkpoint, weights_of
from gan_research.sampling.export import describe_export, write_export
from gan_research.sampling.priors import UniformPrior
from gan_research.training.ema import EMA
from gan_research.training.first_weights import load_first_weights
from gan_research.utils.errors import UserError


@pytest.fixture
def saved(play, tmp_path):
    """A checkpoint of a game with an average."""
    play(rounds=3, ema=EMA(decay=0.9), callbacks=[Checkpoints(tmp_path / "checkpoints", 3)])
    return tmp_path / "checkpoints" / "last.ckpt"


@pytest.fixture
def exported(saved, tmp_path):
    """export(NETWORK, ...): the folder of an export with these networks."""
    content = read_checkpoint(saved)

    def export(*names):
        weights = {name: weights_of(content, "generator_ema" if name == "generator" else name) for name in names}
        write_export(tmp_path / "export", describe_export(content[MARK], True, 0, (-1.0, 1.0)), weights)
        return tmp_path / "export"

    return export


def is_network(gan, name, checkpoint, saved_as):
    weights = weights_of(read_checkpoint(checkpoint), saved_as)
    return all(torch.equal(value, weights[key]) for key, value in getattr(gan, name).state_dict().items())


def test_a_checkpoint_gives_both_networks_and_the_average(game, saved, caplog):
    gan = game(seed=1, ema=EMA(decay=0.9))
    assert load_first_weights(gan, str(saved)) == (str(saved), 3)
    for name in ("generator", "discriminator", "generator_ema"):
        assert is_network(gan, name, saved, name)
    assert (gan.round, gan.images_seen, caplog.text) == (0, 0, "")
    plain = game(seed=1)
    load_first_weights(plain, str(saved))
    assert is_network(plain, "generator", saved, "generator")


def test_an_export_gives_its_networks(game, saved, exported, caplog):
    gan, untouched = game(seed=1, ema=EMA(decay=0.9)), game(seed=1).discriminator.state_dict()
    load_first_weights(gan, str(exported("generator")))
    for name in ("generator", "generator_ema"):
        assert is_network(gan, name, saved, "generator_ema")
    assert all(torch.equal(value, untouched[key]) for key, value in gan.discriminator.state_dict().items())
    assert "has no discriminator" in caplog.text
    load_first_weights(gan, str(exported("generator", "discriminator")))
    assert is_network(gan, "discriminator", saved, "discriminator")


def test_other_shapes_are_an_error_and_change_nothing(game, saved):
    gan = game(seed=1, resolution=8)
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    with pytest.raises(UserError, match=r"don't fit the generator: generator.resolution: 4 -> 8: set the same here$"):
        load_first_weights(gan, str(saved))
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())


def test_another_prior_is_a_warning(game, saved, caplog):
    gan = game(seed=1)
    gan.prior = UniformPrior(3)
    load_first_weights(gan, str(saved))
    assert "trained with other settings: prior._target_" in caplog.text
