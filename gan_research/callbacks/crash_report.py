"""The report of an error, from which its round can be trained again."""

import json
import logging
import os
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from gan_research._version import __version__
from gan_research.data import Order
from gan_research.data.base import ImageData
from gan_research.distributed import LostProcess, is_rank_zero, rank_and_world_size
from gan_research.losses.base import PLAYERS, Player
from gan_research.training.gan import GAN
from gan_research.utils.files import as_json, write_atomically
from gan_research.utils.run_folder import CHECKPOINTS, CRASHES, LAST

log = logging.getLogger(__name__)


def write_crash(run: Path, trainer: pl.Trainer, gan: GAN, error: Exception, **latest: Any) -> Path | None:
    """Write `run`/crash/round_N.json, with `latest`; return its path, or None if it can't be written.

    Rank zero writes it; other ranks write round_N_rank_R.json of their own errors. Nothing is raised.
    """
    try:
        if not run.is_dir() or (not is_rank_zero() and not is_own(error)):  # a folder that was removed isn't made again
            return None
        round = round_of(trainer, gan, error)
        rank = "" if is_rank_zero() else f"_rank_{rank_and_world_size()[0]}"
        path = run / CRASHES / f"round_{round}{rank}.json"
        content = facts(run, trainer, gan, error, round) | {name: as_json(value) for name, value in latest.items()}
        write_atomically(path, json.dumps(content, indent=2, allow_nan=False).encode())
    except OSError:  # a full disk, which may be the error itself
        return None
    except Exception as failure:
        log.warning("the crash report can't be written: %s: %s", type(failure).__name__, failure)
        return None
    return path


def is_own(error: BaseException) -> bool:
    """Return whether this process itself failed, rather than another one."""
    return not isinstance(error, LostProcess) and (not getattr(error, "common", False) or error.__cause__ is not None)


def round_of(trainer: pl.Trainer, gan: GAN, error: Exception) -> int:
    """Return the round, from 1, of the error: the one that it names, or the present one."""
    named = getattr(error, "round", None)
    batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
    return int(named) if named is not None else gan.round + (batches.started > batches.processed)


def facts(run: Path, trainer: pl.Trainer, gan: GAN, error: Exception, round: int) -> dict[str, Any]:
    """Return the facts of the run as plain values; one that isn't available is the reason."""
    last = run / CHECKPOINTS / LAST
    facts: dict[str, Callable[[], Any]] = {
        "error": lambda: f"{type(error).__name__}: {error}",
        "traceback": lambda: "".join(traceback.format_exception(error)).splitlines(),
        "round": lambda: round,
        "rounds_played": lambda: gan.round,
        "images_seen": lambda: gan.images_seen,
        "updates": lambda: gan.updates,
        "roll_backs": lambda: gan.roll_backs,
        "seed": lambda: gan.seed,
        "stream_seeds": lambda: gan.seeds.as_dict(PLAYERS, round - 1),
        "reals": lambda: reals(trainer, gan, round),
        "due": lambda: {player: due(gan, player, round) for player in gan.updates},
        "learning_rates": gan.player_optimizers.learning_rates,
        "checkpoint": lambda: last if last.is_file() else None,
        "rank": lambda: rank_and_world_size()[0],
        "world_size": lambda: rank_and_world_size()[1],
        "host": platform.node,
        "pid": os.getpid,
        "device": lambda: gan.device,
        "versions": versions,
        "command": lambda: sys.argv,
    }
    return {name: value_or_reason(fact) for name, fact in facts.items()}


def value_or_reason(fact: Callable[[], Any]) -> Any:
    """Return a fact, or the reason why it isn't available."""
    try:
        return as_json(fact())
    except Exception as failure:
        return f"not available: {type(failure).__name__}: {failure}"


def reals(trainer: pl.Trainer, gan: GAN, round: int) -> list[dict[str, Any]]:
    """Return the positions [start, stop) and indices of D's real images, by update."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    order = Order(len(data.train), data.seed) if isinstance(data, ImageData) else None
    found = []
    schedule = gan.schedule
    of_d = [n for players, n in zip(schedule.plan(round), schedule.reals, strict=True) if "discriminator" in players]
    for update, number in zip(schedule.updates_in("discriminator", round - 1), of_d, strict=True):
        start = ((round - 1) * schedule.minibatches + number) * data.batch_size
        stop = start + data.batch_size
        indices = {} if order is None else {"indices": order.indices(start, stop).tolist()}
        found.append({"update": update, "positions": [start, stop], **indices})
    return found


def due(gan: GAN, player: Player, round: int) -> list[dict[str, Any]]:
    """Return the regularizers that are due in each of the player's updates of the round."""
    return [
        {"update": update, "regularizers": [name for name, _ in gan.objective.due(player, update)]}
        for update in gan.schedule.updates_in(player, round - 1)
    ]


def versions() -> dict[str, str | None]:
    """Return the versions of what the round depends on."""
    return {
        "gan_research": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lightning": pl.__version__,
        "cuda": torch.version.cuda,
    }
