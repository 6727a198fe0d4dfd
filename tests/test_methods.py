"""The page of methods has every method, and its commands build the games that it says."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from gan_research.config.build import build_data, build_game
from gan_research.config.compose import compose_train, groups
from gan_research.regularizers import Progress
from gan_research.training.minibatch import Minibatch
from gan_research.utils.rng import Noise

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "methods.md").read_text()
COMMANDS = re.findall(r"\| `gan train ([^`]+)` \|$", PAGE, re.MULTILINE)
GROUPS = (
    "augment",
    "discriminator",
    "ema",
    "generator",
    "head",
    "reduction",
    "refinement",
    "regularizer",
    "sampler",
    "unrolling",
)
ELSEWHERE = {"none", "mean", "auto", "linear", "instance_noise"}  # no method, named in the text, or moved to augment


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_is_on_the_page(group):
    named = {name for command in COMMANDS for word in shlex.split(command) for name in choices(word, group)}
    assert set(groups()[group]) - ELSEWHERE - named == set()


def choices(word, group):
    key, _, value = word.partition("=")
    return re.findall(r"\w+", value) if key == group else []


@pytest.fixture(scope="module")
def data():
    return build_data(compose_train(["data=digits"]).config)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_builds_a_game(command, data):
    """Both players' losses of a micro-batch are finite, and one of their gradients isn't 0."""
    config = compose_train([*shlex.split(command), "batch_size=16"]).config
    gan = build_game(config, data)
    images, labels = data.to_float(data.train.take(16)), torch.arange(16) % 10
    minibatch = Minibatch(images, labels if config["conditional"] else None)
    for player in ("discriminator", "generator"):
        noise = Noise(0, 0, 16, 0, 16)
        for name, loss in gan.objective.losses((player,), minibatch, noise, gan.updates, Progress.zeros()):
            assert loss.isfinite()
            gradients = torch.autograd.grad(loss, gan.objective.parameters[name], allow_unused=True)
            assert any(bool(g.any()) for g in gradients if g is not None)
