"""The first weights of a new game, from a run, a checkpoint or an export."""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_research.checkpoints.io import MARK, differences, open_checkpoint, weights_of
from gan_research.checkpoints.rebuild import describe, with_defaults
from gan_research.sampling.export import NETWORKS, is_export, read_config, read_weights
from gan_research.training.gan import GAN
from gan_research.utils.artifacts import fetch, is_address
from gan_research.utils.errors import UserError

log = logging.getLogger(__name__)

AVERAGE = "generator_ema"


def load_first_weights(gan: GAN, source: str) -> tuple[str, int]:
    """Copy the networks' weights from a source into a new game; return the source by version, and its round.

    source: a run, a checkpoint, an export, or the address of a model in W&B. The average of the generator starts from
    the source's average, if it has one. Raises a UserError if a network has other shapes.
    """
    path, name = fetch(source, whole=True) if is_address(source) else (Path(source).expanduser(), source)
    game, weights = read_networks(path)
    if "discriminator" not in weights:
        if gan.discriminator.frozen:
            raise UserError(f"init={source} has no discriminator, whose blocks freeze_discriminator would freeze")
        log.warning("init=%s has no discriminator: it starts from random weights", source)
    if gan.generator_ema is not None:
        weights.setdefault(AVERAGE, weights["generator"])
    else:
        weights.pop(AVERAGE, None)
    changes = {part: changed(game[part], getattr(gan, part), part) for part in (*NETWORKS, "prior")}
    for network, tensors in weights.items():
        expected = getattr(gan, network).state_dict()
        if shapes_of(expected) != shapes_of(tensors):
            reason = "; ".join(changes[network.removesuffix("_ema")]) or "they are of another class"
            raise UserError(f"init={source}: its weights don't fit the {network}: {reason}: set the same here")
    for network, tensors in weights.items():
        getattr(gan, network).load_state_dict(tensors)
    for average in gan.further_averages:
        average.load_state_dict(weights[AVERAGE])
    if others := [line for part in ("prior", *NETWORKS) if part in (*weights, "prior") for line in changes[part]]:
        log.warning("init=%s was trained with other settings: %s", source, "; ".join(others))
    return name, game["round"]


def read_networks(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Return the description of a game, and the weights of its networks by name."""
    if is_export(path):
        config = read_config(path)
        there = [name for name in NETWORKS if f"{name}.safetensors" in config["files"]]
        return config, {name: read_weights(path, name, config) for name in there}
    _, checkpoint = open_checkpoint(path)
    game = checkpoint[MARK]
    names = [*NETWORKS, *([AVERAGE] if game["ema"] else [])]
    return game, {name: weights_of(checkpoint, name) for name in names}


def changed(saved: dict[str, Any], component: Any, name: str) -> list[str]:
    """Return the differences of a saved description from a component."""
    return differences(with_defaults(saved, component), describe(component), name)


def shapes_of(weights: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a state dict by name."""
    return {name: tuple(tensor.shape) for name, tensor in weights.items()}
