"""Exported generators: folders of plain weights and JSON, without training state."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, NotRequired

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from safetensors.torch import load as read_tensors
from safetensors.torch import save as tensors_as_bytes
from torch import Tensor
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from gan_research.checkpoints.allowlist import resolve_allowed
from gan_research.checkpoints.io import Description, batch_size_of, usable
from gan_research.checkpoints.rebuild import rebuild
from gan_research.sampling.sampler import Sampler
from gan_research.utils.artifacts import FORMAT_KEY
from gan_research.utils.errors import UserError
from gan_research.utils.files import as_json, new_folder, write_atomically
from gan_research.utils.reading import has_shape, read_json, reading
from gan_research.utils.renamed import renamed_targets

CONFIG = "config.json"
FORMAT = 1
NETWORKS = ("generator", "discriminator")
CARD, PROGRAM = "README.md", "generator.pt2"  # the model card, and the generator as a program of torch.export


def write_export(
    folder: Path,
    config: Mapping[str, Any],
    networks: Mapping[str, Mapping[str, Tensor]],
    others: Mapping[str, bytes] | None = None,
) -> None:
    """Write config.json, NAME.safetensors for each of `networks` by name, and other files, into `folder`.

    A new folder is whole or not at all. In a former export, config.json is written first, with a digest of each file of
    weights, so that an interrupted export is detected.
    """
    require_export_folder(folder)
    files = {
        f"{name}.safetensors": tensors_as_bytes({k: v.detach().cpu().contiguous().clone() for k, v in weights.items()})
        for name, weights in networks.items()
    }  # clones, as safetensors refuses shared tensors
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    plain = as_json({FORMAT_KEY: FORMAT, **config, "files": digests})
    with nullcontext(folder) if is_export(folder) else new_folder(folder) as target:
        write_atomically(target / CONFIG, json.dumps(plain, indent=2, allow_nan=False).encode())
        written = files | dict(others or {})
        for name, content in written.items():
            write_atomically(target / name, content)
        for name in {CARD, PROGRAM, *(f"{network}.safetensors" for network in NETWORKS)} - written.keys():
            (target / name).unlink(missing_ok=True)  # from a previous export


def describe_export(
    game: dict[str, Any],
    averaged: bool,
    num_classes: int,
    value_range: tuple[float, float],
    ema: float | None = None,
) -> dict[str, Any]:
    """Return the config of an export of a checkpoint's game.

    averaged: whether of the generator's average. ema: its profile, if it isn't the first one.
    """
    keys = ("version", "generator", "discriminator", "prior", "round", "images_seen", "log_odds")
    samples = {"value_range": value_range, "num_classes": num_classes, "batch_size": batch_size_of(game)}
    profile = {"profile": ema or game["power"]["profiles"][0]} if averaged and "power" in game else {}
    kimg = game["images_seen"] / 1000
    return {key: game[key] for key in keys if key in game} | {"averaged": averaged, **profile, "kimg": kimg, **samples}


def require_export_folder(folder: Path) -> None:
    """Raise a UserError if anything but an export would be overwritten."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file: give a folder")
    if folder.is_dir() and any(folder.iterdir()) and not is_export(folder):
        raise UserError(f"{folder} is neither empty nor an export: give a new folder")


def is_export(path: str | Path) -> bool:
    """Return whether `path` is the folder of an export, complete or not."""
    try:
        return FORMAT_KEY in json.loads((Path(path) / CONFIG).read_bytes())
    except (OSError, ValueError, TypeError, RecursionError):  # damaged: reported when it is read
        return all((Path(path) / name).is_file() for name in (CONFIG, f"{NETWORKS[0]}.safetensors"))


class Export(TypedDict):
    """The config.json of an export; that of a model in W&B tells its run, config, numbers and their protocol, too."""

    gan_research_export: NonNegativeInt
    version: str
    generator: Description
    discriminator: Description
    prior: Description
    log_odds: NotRequired[bool]
    averaged: bool
    profile: NotRequired[float]
    value_range: tuple[float, float]
    num_classes: NonNegativeInt
    batch_size: NotRequired[PositiveInt | None]
    round: NonNegativeInt
    images_seen: NonNegativeInt
    kimg: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    files: dict[str, str]
    config: NotRequired[dict[str, Any]]
    selected_by: NotRequired[str | None]


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read the config.json of an export."""
    path = Path(folder) / CONFIG
    config: dict[str, Any] = read_json(path, dict[str, Any])
    if isinstance(format := config.get(FORMAT_KEY), int) and format > FORMAT:
        raise UserError(f"{folder} was exported by a newer gan_research ({config.get('version')}): update to read it")
    with reading(path):
        config = renamed_targets(config)
        has_shape(config, Export)
        for node in (config, config["generator"]):
            if "value_range" in node:
                node["value_range"] = [float(bound) for bound in node["value_range"]]
    return config


def read_weights(folder: Path, network: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Read the state dict of one network of an export, and verify its digest."""
    name = f"{network}.safetensors"
    try:
        content = (folder / name).read_bytes()
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != config["files"].get(name):
        raise UserError(f"{folder / name} is missing or isn't what was exported: export it again")
    with reading(folder / name):
        return usable(read_tensors(content), network)


def make_sampler(game: Mapping[str, Any], weights: Mapping[str, Tensor], allow: Sequence[str] = ()) -> Sampler:
    """Build the sampler of the generator and prior described in `game`, with these weights."""
    generator = make_network(game["generator"], weights, allow)
    return Sampler(generator, rebuild(game["prior"], allow), generator.num_classes, generator.value_range)


def make_discriminator(game: Mapping[str, Any], weights: Mapping[str, Tensor], allow: Sequence[str] = ()) -> Any:
    """Build the discriminator described in `game`, with these weights, in evaluation mode.

    Its loss tells `logits_are_log_odds`; in older checkpoints, and exports of W&B, the run's config names the loss.
    """
    discriminator = make_network(game["discriminator"], weights, allow)
    known, loss = game.get("log_odds"), (game.get("config") or {}).get("loss")
    if known is None and loss:
        known = resolve_allowed(loss["_target_"], allow).logits_are_log_odds
    discriminator.logits_are_log_odds = known
    return discriminator


def make_network(description: dict[str, Any], weights: Mapping[str, Tensor], allow: Sequence[str] = ()) -> Any:
    """Build a network with these weights, in evaluation mode and without gradients in them."""
    require_size(description, weights, allow)
    network = rebuild(description, allow)
    dtype = next(tensor.dtype for tensor in weights.values() if tensor.is_floating_point())
    if dtype != next(network.parameters()).dtype:  # of a game in float64
        network.to(dtype)
    network.load_state_dict(weights)
    return network.requires_grad_(False).eval()


def require_size(description: dict[str, Any], weights: Mapping[str, Tensor], allow: Sequence[str] = ()) -> None:
    """Raise a ValueError if a network doesn't have its weights' shapes.

    No memory is taken, as the description may be of a far larger network.
    """
    try:
        with torch.device("meta"):
            expected = rebuild(description, allow).state_dict()
    except UserError:
        raise
    except Exception:  # a class that can't be built without values: loading its weights will tell
        return
    for name, value in expected.items():
        if name not in weights or weights[name].shape != value.shape:
            raise ValueError(f"there is no {name} of shape {tuple(value.shape)}, which the description has")
