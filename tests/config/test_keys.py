"""One table of top-level keys, from which every list of keys follows."""

import inspect

import pytest

from gan_research.config import schema
from gan_research.config.compose import compose_train, groups_of_runs
from gan_research.config.keys import GAME, GROUPED, KEYS, OF_GAN, keys_of
from gan_research.runs.auto_resume import game_of
from gan_research.runs.naming import names
from gan_research.training.gan import GAN

NO_KEYS_OF_RUNS = {"budget", "budgets", "published"}
"""Keys of experiments, which are taken out before a run."""

OTHERS = {
    "data": "data.flip=true", "generator": "generator.width=8", "discriminator": "discriminator.width=8",
    "head": "head=linear", "loss": "loss=hinge", "augment": "augment=[instance_noise]",
    "regularizer": "regularizer=[r2]", "reduction": "reduction=top_k", "refinement": "refinement=logan",
    "unrolling": "unrolling=unrolled",
    "schedule": "schedule=simultaneous", "prior": "prior=uniform", "optimizer": "optimizer=sgd",
    "lr_schedule": "lr_schedule=cosine", "ema": "ema=none", "batch_size": "batch_size=32",
    "accumulation": "accumulation=2", "conditional": "conditional=true", "precision": "precision=64",
    "compile": "compile=true", "channels_last": "channels_last=true",
    "max_gradient_norm": "max_gradient_norm=1.0", "sync_batch_norm": "sync_batch_norm=false",
    "init": "init=a.ckpt", "freeze_discriminator": "freeze_discriminator=2",
    "seed": "seed=1", "rounds": "rounds=7", "metrics": "metrics=none", "sampler": "sampler=ddls",
    "cuda_graphs": "cuda_graphs=true",
    "log_every": "log_every=10", "sample_every": "sample_every=250", "evaluate_every": "evaluate_every=250",
    "checkpoint_every": "checkpoint_every=250", "keep_every": "keep_every=500", "best": "best=null",
    "progress_seconds": "progress_seconds=null",
    "analysis": "analysis=[phases]", "health": "health=roll_back", "trainer": "trainer=cpu",
    "launcher": "launcher=slurm",
    "logger": "logger=[csv]", "output": "output=elsewhere", "name": "name=mine", "tags": "tags=[a]",
}  # fmt: skip
"""key -> an override that changes it; variant is one of a list."""


def test_the_table_has_the_keys_of_the_schema():
    of_runs = set(inspect.signature(schema.train).parameters) - NO_KEYS_OF_RUNS
    assert set(KEYS) - set(keys_of("sweep")) == of_runs
    assert set(keys_of("sweep")) == set(inspect.signature(schema.multirun).parameters)
    assert set(groups_of_runs()) - {"experiment"} <= of_runs


def test_arguments_of_the_gan_are_arguments_of_the_gan():
    assert set(OF_GAN) <= set(inspect.signature(GAN).parameters)


@pytest.mark.parametrize("key", OTHERS)
def test_a_key_changes_what_its_role_says(key):
    assert set(OTHERS) == set(KEYS) - set(keys_of("sweep")) - {"variant"}
    given = ["init=a.ckpt"] if key == "freeze_discriminator" else []
    before, after = compose_train(given), compose_train([*given, OTHERS[key]])
    assert before.config.get(key) != after.config[key]
    assert (game_of(before.config) != game_of(after.config)) == (key in GAME)
    group = [names(composition)[1].rpartition("-")[2] for composition in (before, after)]
    assert (group[0] != group[1]) == (key in GROUPED)
