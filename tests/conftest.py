"""A game small enough to play in a blink, and a Trainer that plays it."""

import logging
import multiprocessing
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from gan_research.checkpoints.io import AtomicCheckpointIO
from gan_research.data import Arrays
from gan_research.losses import NonSaturating
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior
from gan_research.training.gan import GAN
from gan_research.utils.rng import stream_seed
from gan_research.utils.sample_spec import SampleSpec

multiprocessing.get_context("forkserver").set_forkserver_preload(["sklearn.datasets", "gan_research.runs.fit"])

SGD = partial(torch.optim.SGD, lr=0.05)
ADAM = partial(torch.optim.Adam, lr=1e-2, betas=(0.5, 0.99))


@pytest.fixture(autouse=True, scope="session")
def quiet():
    """One thread, and nothing of what Lightning says of itself."""
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """No test reads or writes the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_RESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """An .npz of 60 random 4x4 pictures, no two alike, of 3 classes; and one of the same without classes."""
    folder = tmp_path_factory.mktemp("pictures")
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(folder / "plain.npz", images=images)
    np.savez(folder / "classes.npz", images=images, labels=np.arange(60) % 3)
    return SimpleNamespace(plain=folder / "plain.npz", classes=folder / "classes.npz", images=torch.from_numpy(images))


def make_game(
    seed=0,
    num_classes=0,
    generator=None,
    discriminator=None,
    loss=None,
    optimizer=SGD,
    resolution=4,
    prior=None,
    **arguments,
):
    """A GAN of two one-layer MLPs, its weights a function of the seed; every argument of GAN can be given."""
    torch.manual_seed(stream_seed(seed, "initial weights"))
    samples = SampleSpec(resolution, 1, num_classes)
    prior = prior or GaussianPrior(3)
    generator = (generator or partial(MLPGenerator, width=8, depth=1))(latent_dim=prior.latent_dim, samples=samples)
    discriminator = (discriminator or partial(MLPDiscriminator, width=8, depth=1))(samples=samples)
    return GAN(
        generator,
        discriminator,
        loss or NonSaturating(),
        prior,
        **{"generator_optimizer": optimizer, "discriminator_optimizer": optimizer, "seed": seed, **arguments},
    )


def fit(gan, data, callbacks=(), checkpoint=None, **trainer):
    """Play the rounds that are left, on the CPU."""
    arguments = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": -1,
        "logger": False,
        "callbacks": list(callbacks),
        "plugins": [AtomicCheckpointIO()],
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = pl.Trainer(**arguments | trainer)
        trainer.fit(gan, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    return gan


@pytest.fixture
def game():
    """`make_game`."""
    return make_game


@pytest.fixture
def play(pictures):
    """play(rounds, batch_size=4, data=None, callbacks=(), checkpoint=None, trainer=None, **game): a GAN that played."""

    def play(rounds=3, batch_size=4, data=None, callbacks=(), checkpoint=None, trainer=None, gan=None, **arguments):
        if gan is None:
            gan = make_game(rounds=rounds, **arguments)
        if data is None:
            path = pictures.classes if gan.generator.num_classes else pictures.plain
            data = Arrays(path, batch_size=batch_size, seed=gan.seed)
        return fit(gan, data, callbacks, checkpoint, **(trainer or {}))

    return play
