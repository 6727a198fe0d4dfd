"""The choice of a sampler that uses the discriminator, on the command line; torch isn't imported."""

import argparse
from collections.abc import Sequence
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_research.config.compose import choice, merged
from gan_research.config.schema import check_nodes
from gan_research.utils.errors import UserError

SAMPLER = "sampler"


def add_sampler(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the option --sampler NAME; its settings are words sampler.KEY=VALUE."""
    parser.add_argument(
        "--sampler", metavar="NAME",
        help="select samples by the discriminator: ddls, rejection or metropolis, with settings such as "
        f"sampler.steps=200, see docs/sampling.md ({default})",
    )  # fmt: skip


def selection(name: str | None, words: Sequence[str]) -> dict[str, Any]:
    """Return the checked config of a sampler with settings sampler.KEY=VALUE; empty if there is none."""
    for word in words:
        if name in (None, "none") or not word.startswith(f"{SAMPLER}."):
            advice = "add --sampler NAME" if word.startswith(f"{SAMPLER}.") else "settings are sampler.KEY=VALUE"
            raise UserError(f"{word}: {advice}")
    node = {} if name is None else choice(SAMPLER, name)
    return check_nodes(merged(node, nested(words).get(SAMPLER, {})), SAMPLER) or {}


def nested(words: Sequence[str]) -> dict[str, Any]:
    """Return KEY=VALUE words as one nested config."""
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(list(words)), resolve=True)
    except (OmegaConfBaseException, yaml.YAMLError) as error:
        raise UserError(f"{' '.join(words)} can't be read: {' '.join(str(error).split())}") from error
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items()}
