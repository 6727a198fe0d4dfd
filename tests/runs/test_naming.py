"""The names of runs show what was given."""

import pytest

from gan_research.config.compose import compose_train
from gan_research.runs.naming import LONGEST, names, settings_of
from gan_research.utils.texts import short_names


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "digits-mlp-non_saturating+r1-s0"),
        (["optimizer.generator.lr=1e-3", "seed=2"], "digits-mlp-non_saturating+r1-lr=1e-3-s2"),
        (
            ["optimizer.generator.lr=1e-3", "optimizer.discriminator.lr=2e-3"],
            "digits-mlp-non_saturating+r1-generator.lr=1e-3-discriminator.lr=2e-3-s0",
        ),
        (["loss=hinge", "schedule=simultaneous", "rounds=7"], "digits-mlp-hinge+r1-schedule=simultaneous-s0"),
        (["variants={a: loss=hinge generator.width=7}", "variant=a", "batch_size=32"], "digits-a-batch_size=32-s0"),
        (["name=mine", "generator.width=7"], "mine-s0"),
        (["generator.activation='silu'"], "digits-mlp-non_saturating+r1-activation=silu-s0"),
    ],
)  # fmt: skip
def test_a_name_shows_what_was_given(overrides, name):
    composition = compose_train(overrides)
    stem = name.rpartition("-s")[0]
    assert names(composition)[0] == name
    assert names(composition)[1].rpartition("-")[0] == stem


def test_names_leave_out_places_and_stay_short():
    assert settings_of(["data.root=/photos/a", "data.flip=true", "~x", "trainer=cpu"]) == ["flip=true"]
    many = [f"generator.{'x' * 20}{i}=1" for i in range(9)]
    shown = settings_of(many)
    assert len("-".join(shown)) <= LONGEST
    assert shown == [f"{'x' * 20}{i}=1" for i in (6, 7, 8)]


def test_short_names_are_the_shortest_ends_that_tell_keys_apart():
    assert short_names(["a.b.lr", "a.c.lr", "x.weight", "lr"]) == ["b.lr", "c.lr", "weight", "lr"]
