"""The settings that `gan train --help` shows."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveInt

from gan_research.config.compose import compose_train
from gan_research.config.documentation import explanation
from gan_research.config.reference import Reference, type_text, value_text
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import leaves

REFERENCE = Reference()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (PositiveInt, "int > 0"),
        (PositiveInt | None, "int > 0 or null"),
        (Annotated[float, Field(ge=0, le=1)], "float >= 0 <= 1"),
        (Literal["batch", "none"], "batch or none"),
        (tuple[float, float], "list of float"),
        (dict[str, int] | None, "mapping or null"),
        (Reference, ""),
    ],
)
def test_types_are_told_in_words_of_a_config(kind, text):
    assert type_text(kind) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("???", "required"), (None, "null"), (True, "true"), ([0.0, "a"], "[0.0, a]"), (1e-3, "0.001"), ({}, "{}")],
)
def test_defaults_are_told_as_they_are_written(value, text):
    assert value_text(value) == text


@pytest.mark.parametrize("group", sorted(REFERENCE.groups))
def test_every_choice_shows_each_of_its_settings_once(group):
    for choice in REFERENCE.groups[group]:
        names = [setting.name for setting in REFERENCE.of_choice(group, choice)]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "choice", ["generator=resnet", "regularizer=r1", "optimizer=sgd", "data=digits", "metrics=digits"]
)
def test_defaults_are_those_of_a_run(choice):
    group = choice.partition("=")[0]
    composed = dict(leaves({group: compose_train([choice]).config[group]}))
    shown = {setting.name: setting.default for setting in REFERENCE.of_choice(*choice.split("="))}
    composed = {name: value for name, value in composed.items() if not name.endswith("_")}
    assert composed.keys() <= shown.keys()
    for name, value in composed.items():
        assert shown[name] == value or str(shown[name]).startswith("${")


def test_arguments_that_the_run_gives_are_no_settings():
    assert [s.name for s in REFERENCE.of_choice("health", "default")] == [
        f"health.{name}" for name in ("on_divergence", "roll_backs", "stuck_after", "collapse_after")
    ]
    assert "prior.latent_dim" in [s.name for s in REFERENCE.of_choice("prior", "gaussian")]
    assert not any("latent_dim" in s.name for s in REFERENCE.of_choice("generator", "mlp"))


def test_an_argument_that_its_file_leaves_out_is_a_setting_and_may_be_set():
    (every,) = (s for s in REFERENCE.of_choice("metrics", "digits") if s.name == "metrics.every")
    assert (every.type, every.default) == ("int > 0 or null", None)
    assert "evaluate_every" in every.text
    assert compose_train(["metrics.every=7"]).config["metrics"]["every"] == 7
    with pytest.raises(UserError, match=r"metrics\.every=0"):
        compose_train(["metrics.every=0"])


def test_texts_are_those_of_the_class_its_bases_and_the_config_file():
    assert explanation("gan_research.regularizers.R1", "weight") == "factor of the penalty's mean. It may be a `Ramp`."
    assert "m consecutive samples" in explanation("gan_research.networks.dcgan.DCGANDiscriminator", "packing")
    steps = explanation("gan_research.training.schedule.Schedule", "generator_batch_multiple")
    assert steps.endswith("2017, GEN_BS_MULTIPLE).")  # on the next line
    assert explanation("gan_research.losses.Hinge", "nothing", "the file's") == "the file's"
    assert explanation("gan_research.losses.Hinge", "nothing") == ""
