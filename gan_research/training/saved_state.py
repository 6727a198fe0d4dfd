"""The state of a `GAN` in a checkpoint."""

from typing import Annotated, Any

import pytorch_lightning as pl
import torch
from pydantic import Field
from torch import nn
from torch.optim import Optimizer
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from gan_research._version import __version__
from gan_research.checkpoints.io import FORMAT, MARK, differences, saved_game
from gan_research.checkpoints.rebuild import describe, with_defaults
from gan_research.losses.base import PLAYERS
from gan_research.training.optimization import OptimizerFactory, without_ramps
from gan_research.utils.errors import UserError
from gan_research.utils.reading import has_shape

RENAMED_PREFIXES = {"regularizers.instance_noise.": "augmentations.instance_noise."}
"""Prefixes of a state dict's keys in older checkpoints -> their names now."""


def save_game(gan: Any, checkpoint: dict[str, Any]) -> None:
    """Add the game's own state to a checkpoint of Lightning.

    The state dict in it has the tensors of the game, so that batch statistics that are recomputed now are saved.
    """
    gan.recompute_statistics()
    checkpoint[MARK] = {
        **describe_game(gan),
        "round": gan.round,
        "images_seen": gan.images_seen,
        "updates": dict(gan.updates),
        "batch_size": gan.batch_size,
        "roll_backs": gan.roll_backs,
        "log_odds": gan.loss.logits_are_log_odds,
        **({"power": describe_profiles(gan)} if gan.ema is not None and gan.ema.profiles else {}),
        "steps": gan.player_optimizers.state_dict(),
        "recorder": gan.loss_log.state_dict(),
    }


def load_game(gan: Any, checkpoint: dict[str, Any]) -> None:
    """Restore a game from a checkpoint; UserError with the differences if it is another game's."""
    saved = saved_game(checkpoint)
    current = {key: value for key, value in describe_game(gan).items() if key not in ("format", "version")}
    before = {name: with_defaults(saved[name], getattr(gan, name)) for name in current if name != "ema"}
    profiles = [list(gan.ema.profiles) if gan.ema else [], saved.get("power", {}).get("profiles", [])]
    before, current = before | {"ema": saved["ema"], "profiles": profiles[1]}, current | {"profiles": profiles[0]}
    if changes := differences(before, current):
        raise UserError("the checkpoint holds another game: " + "; ".join(changes))
    gan.round, gan.images_seen = saved["round"], saved["images_seen"]
    gan.updates.update(saved["updates"])
    gan.roll_backs = saved.get("roll_backs", 0)
    gan.player_optimizers.load_state_dict(saved.get("steps", {}))
    gan.loss_log.load_state_dict(saved["recorder"])
    gan.resumed = True
    state = checkpoint["state_dict"]
    for old, new in RENAMED_PREFIXES.items():
        for key in [key for key in state if key.startswith(old)]:
            state[new + key.removeprefix(old)] = state.pop(key)


class OptimizerState(TypedDict):
    """The state of an optimizer, by index of the parameter."""

    state: dict[int, dict[str, Any]]
    param_groups: list[dict[str, Any]]


VERSION = r"^\d+(\.\d+)*(\.?(a|b|rc|post|dev)\d+)?(\+[\w.]+)?$"  # of Lightning, such as 2.6.4 or 2.7.0rc1

Resumable = TypedDict(
    "Resumable",
    {
        "pytorch-lightning_version": Annotated[str, Field(pattern=VERSION)],
        "optimizer_states": list[OptimizerState],
        "lr_schedulers": list[dict[str, Any]],
        "loops": dict[str, dict[str, Any]],
        "callbacks": dict[str, dict[str, Any]],
    },
)
"""The entries of a checkpoint from which Lightning restores the training."""


def require_resumable(gan: Any, trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Restore a checkpoint as Lightning will; raise an error if any state is missing.

    The optimizers and schedulers are others, as the game's own are made when training starts.
    """
    has_shape(checkpoint, Resumable)
    load_game(gan, checkpoint)
    gan.load_state_dict(checkpoint["state_dict"])
    trainer.fit_loop.load_state_dict(checkpoint["loops"]["fit_loop"])
    optimizers, schedulers = gan.configure_optimizers()
    for player, optimizer, state in zip(PLAYERS, optimizers, checkpoint["optimizer_states"], strict=True):
        optimizer.load_state_dict(state)
        if gan.updates[player] and not gan.player_optimizers.scaled:  # float16 may have skipped all steps
            require_state(optimizer, gan.player_optimizers.factories[player][0], f"the {player}'s optimizer")
    for scheduler, state in zip(schedulers, checkpoint["lr_schedulers"], strict=True):
        if missing := scheduler.state_dict().keys() - state.keys():
            raise ValueError(f"a learning rate schedule has no {min(missing)}")
        scheduler.load_state_dict(state)


def require_state(optimizer: Optimizer, make: OptimizerFactory, name: str) -> None:
    """Raise a ValueError unless an optimizer has the state of one that took a step.

    Parameters without any are those that never get a gradient; but some must have it.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parameters = [p for p in parameters if optimizer.state.get(p)] or parameters[:1]
    copies = [nn.Parameter(torch.zeros_like(p)) for p in parameters]
    fresh = without_ramps(make)[0](copies)
    for copy in copies:
        copy.grad = torch.zeros_like(copy)
    fresh.step()
    for parameter, copy in zip(parameters, copies, strict=True):
        for key, value in fresh.state[copy].items():
            found = optimizer.state[parameter].get(key)
            if getattr(found, "shape", None) != getattr(value, "shape", None):
                raise ValueError(f"{name} has no {key} of shape {tuple(getattr(value, 'shape', ()))}")


def describe_profiles(gan: Any) -> dict[str, Any]:
    """Return what another average is reconstructed from, in addition to weights: `Profiles`."""
    ema, averaged = gan.ema, {id(tensor) for tensor in gan.ema.tensors(gan.generator)[0]}
    state = gan.generator.state_dict(keep_vars=True)
    found = {"profiles": list(ema.profiles), "combined": [k for k, tensor in state.items() if id(tensor) in averaged]}
    return found | ({"recomputed": gan.recomputation()} if ema.buffers == "recompute" and gan.round else {})


def describe_game(gan: Any) -> dict[str, Any]:
    """Return the description from which the networks are rebuilt: plain containers only."""
    parts = {name: describe(getattr(gan, name)) for name in ("generator", "discriminator", "prior")}
    return {"format": FORMAT, "version": __version__, **parts, "ema": gan.ema is not None}
