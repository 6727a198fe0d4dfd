"""The state of a `GAN` in a checkpoint."""

from typing import Any

from gan_research._version import __version__
from gan_research.checkpoints.io import FORMAT, MARK, differences, saved_game
from gan_research.checkpoints.rebuild import describe, with_defaults
from gan_research.utils.errors import UserError

RENAMED_PREFIXES = {"regularizers.instance_noise.": "augmentations.instance_noise."}
"""Prefixes of a state dict's keys in older checkpoints -> their names now."""


def save_game(gan: Any, checkpoint: dict[str, Any]) -> None:
    """Add the game's own state to a checkpoint of Lightning."""
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
    current = {key: value for key, value in describe_game(gan).items() if key not in ("format", "version")}
    before = {name: with_defaults(saved[name], getattr(gan, name)) for name in current if name != "ema"}
    if changes := differences(before | {"ema": saved["ema"]}, current):
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


def describe_game(gan: Any) -> dict[str, Any]:
    """Return the description from which the networks are rebuilt: plain containers only."""
    parts = {name: describe(getattr(gan, name)) for name in ("generator", "discriminator", "prior")}
    return {"format": FORMAT, "version": __version__, **parts, "ema": gan.ema is not None}
