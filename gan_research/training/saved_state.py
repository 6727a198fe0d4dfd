"""The state of a `GAN` in a checkpoint, and the refusal of a checkpoint of another game."""

from typing import Any

from gan_research._version import __version__
from gan_research.checkpoints.io import FORMAT, MARK, differences, saved_game
from gan_research.checkpoints.rebuild import describe, with_defaults
from gan_research.utils.errors import UserError

MOVED_STATE = {"regularizers.instance_noise.": "augmentations.instance_noise."}
"""Prefixes of a state dict's keys in older checkpoints -> where the module is now."""


def save_game(gan: Any, checkpoint: dict[str, Any]) -> None:
    """Write what Lightning doesn't know of into a checkpoint."""
    checkpoint[MARK] = {
        **describe_game(gan),
        "round": gan.round,
        "images_seen": gan.images_seen,
        "updates": dict(gan.updates),
        "roll_backs": gan.roll_backs,
        "steps": gan.player_optimizers.state_dict(),
        "recorder": gan.loss_log.state_dict(),
    }


def load_game(gan: Any, checkpoint: dict[str, Any]) -> None:
    """Restore a game from a checkpoint; UserError with the differences if it is another game's."""
    saved = saved_game(checkpoint)
    refuse_other_game(gan, saved)
    gan.round, gan.images_seen = saved["round"], saved["images_seen"]
    gan.updates.update(saved["updates"])
    gan.roll_backs = saved.get("roll_backs", 0)
    gan.player_optimizers.load_state_dict(saved.get("steps", {}))
    gan.loss_log.load_state_dict(saved["recorder"])
    gan.resumed = True
    state = checkpoint["state_dict"]
    for old, new in MOVED_STATE.items():
        for key in [key for key in state if key.startswith(old)]:
            state[new + key.removeprefix(old)] = state.pop(key)


def describe_game(gan: Any) -> dict[str, Any]:
    """Return what rebuilds the generator, and what a resumed game must agree on: plain containers only."""
    return {
        "format": FORMAT,
        "version": __version__,
        "generator": describe(gan.generator),
        "discriminator": describe(gan.discriminator),
        "prior": describe(gan.prior),
        "ema": gan.ema is not None,
    }


def refuse_other_game(gan: Any, saved: dict[str, Any]) -> None:
    """Raise a UserError with the differences if a checkpoint's networks aren't those that resume from it."""
    parts = {"generator": gan.generator, "discriminator": gan.discriminator, "prior": gan.prior}
    before = {name: with_defaults(saved[name], part) for name, part in parts.items()} | {"ema": saved["ema"]}
    after = {name: describe(part) for name, part in parts.items()} | {"ema": gan.ema is not None}
    if changes := differences(before, after):
        raise UserError("the checkpoint holds another game: " + "; ".join(changes))
