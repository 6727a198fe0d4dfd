"""Checkpoints: written atomically, read safely, and enough to sample from by themselves."""

import importlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from gan_research import __version__
from gan_research.description import describe
from gan_research.errors import UserError
from gan_research.files import write_atomically
from gan_research.sampling import Sampler

if TYPE_CHECKING:
    from gan_research.gan import GAN

MARK = "gan_research"
"""The key under which a checkpoint holds what is this project's."""

FORMAT = 1

TRUSTED = ("gan_research.networks", "gan_research.priors")
"""Only classes of these modules are built from what a checkpoint names."""


def describe_game(gan: "GAN") -> dict[str, Any]:
    """What `load` needs to rebuild the generator, and what a resumed game must agree on: plain containers only."""
    return {
        "format": FORMAT,
        "version": __version__,
        "generator": describe(gan.generator),
        "discriminator": describe(gan.discriminator),
        "prior": describe(gan.prior),
        "ema": gan.ema is not None,
    }


def refuse_other_game(saved: dict[str, Any], current: dict[str, Any]) -> None:
    """Raise with the differences if a checkpoint's players aren't those that want to go on from it."""
    keys = ("generator", "discriminator", "prior", "ema")
    if changes := differences({k: saved[k] for k in keys}, {k: current[k] for k in keys}):
        raise UserError("the checkpoint holds another game: " + "; ".join(changes))


def differences(saved: Any, current: Any, name: str = "") -> list[str]:
    """Where two nested containers differ, as lines 'name: saved -> current'."""
    if isinstance(saved, dict) and isinstance(current, dict):
        keys = list(saved) + [key for key in current if key not in saved]
        absent = "(absent)"
        return [
            line
            for key in keys
            for line in differences(saved.get(key, absent), current.get(key, absent), f"{name}.{key}" if name else key)
        ]
    return [] if saved == current else [f"{name}: {saved} -> {current}"]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and synced to the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        try:
            with buffer.getbuffer() as content:
                write_atomically(path, content)
        except OSError as error:
            raise UserError(
                f"the checkpoint {path} was not written: {error.strerror or error}; what it held before is unharmed. "
                f"Free some space and go on from there"
            ) from error


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The checkpoint's plain containers and CPU tensors; nothing in it is executed."""
    path = Path(path)
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} can't be read as a checkpoint (truncated, or not one): {reason}") from error
    game_of(checkpoint, path)
    return checkpoint


def game_of(checkpoint: Any, name: str | Path = "this") -> dict[str, Any]:
    """What a checkpoint holds of this project's; an error where that is nothing, or of a later version."""
    if not isinstance(checkpoint, dict) or MARK not in checkpoint:
        raise UserError(f"{name} is a checkpoint of another program: it has no '{MARK}' entry")
    game = checkpoint[MARK]
    if game["format"] > FORMAT:
        raise UserError(f"{name} was written by a newer gan_research ({game['version']}): update to read it")
    return game


def find_checkpoint(path: str | Path) -> Path:
    """`path` itself, or the last checkpoint where it is a run's folder."""
    path = Path(path)
    if not path.is_dir():
        return path
    last = path / "checkpoints" / "last.ckpt"
    if not last.is_file():
        raise UserError(f"{path} has no checkpoints/last.ckpt: give the folder of a run, or a checkpoint")
    return last


def load(path: str | Path, raw: bool = False, trust: Sequence[str] = ()) -> Sampler:
    """A sampler from a checkpoint or a run's folder: `load(path).sample(64, seed=0)`.

    raw: the generator itself instead of its average.
    trust: modules, besides the project's own, whose generators and priors may be built from what the checkpoint names.
    """
    checkpoint = read_checkpoint(find_checkpoint(path))
    game = checkpoint[MARK]
    generator = rebuild(game["generator"], trust)
    prior = rebuild(game["prior"], trust)
    prefix = "generator_ema." if game["ema"] and not raw else "generator."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    generator.load_state_dict(weights)
    generator.requires_grad_(False).eval()
    return Sampler(generator, prior, generator.num_classes, generator.value_range)


def rebuild(description: dict[str, Any], trust: Sequence[str] = ()) -> Any:
    """The object that `describe` described, if its module is trusted."""
    arguments = dict(description)
    target = arguments.pop("_target_")
    require_trusted(target, (*TRUSTED, *trust))
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)(**arguments)


def require_trusted(target: str, trust: Sequence[str]) -> None:
    """Raise unless the class `target`, which a checkpoint names, is of one of the modules in `trust`."""
    module = target.rpartition(".")[0]
    if not any(module == trusted or module.startswith(trusted + ".") for trusted in trust):
        raise UserError(f"the checkpoint wants {target}, which isn't trusted: pass trust=('{module}',) if you do")
