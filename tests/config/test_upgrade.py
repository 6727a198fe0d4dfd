"""Configs of earlier versions get what has been added since."""

from gan_research.config.compose import compose_train
from gan_research.config.upgrade import ADDED_TO, upgraded


def test_a_component_among_others_gets_the_arguments_that_it_has_got_since():
    config = compose_train(["regularizer=[r1,lecam]"]).config
    target = config["regularizer"]["lecam"]["_target_"]
    kept = {key: value for key, value in config["regularizer"]["lecam"].items() if key not in ADDED_TO[target]}
    assert len(kept) < len(config["regularizer"]["lecam"])
    old = config | {"regularizer": config["regularizer"] | {"lecam": kept}}
    del old["unrolling"]
    assert upgraded(old) == config
    assert upgraded(config) == config
