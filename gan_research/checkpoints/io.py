"""Checkpoint files: written atomically, read safely, and sufficient to sample from."""

import logging
from contextlib import suppress
from hashlib import sha256
from io import SEEK_END, BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal, NotRequired
from zipfile import ZipFile

import torch
from pydantic import ConfigDict, Field, NonNegativeInt
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.reading import has_shape, reading, reason_of, require_no_bomb, require_plain
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.run_folder import CHECKPOINTS, LAST, PREVIOUS, require_own, run_id

MARK = "gan_research"  # the key of a checkpoint under which this project stores its own state

FORMAT = 1

END, NO_COMMENT, SHA256_COMMENT = b"PK\5\6", bytes(2), b"\x20\0"
"""Fields of a zip archive's last record (22 bytes and the comment): signature, length of the comment (0, 32)."""

log = logging.getLogger(__name__)


class Description(TypedDict):
    """A component's class; other fields are its arguments."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    _target_: str


class Pending(TypedDict):
    """The terms of the log that aren't flushed: (name, round, its value on each rank)."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # type: ignore[misc]

    pending: list[tuple[str, NonNegativeInt, Annotated[list[Tensor], Field(min_length=1)]]]


class Profiles(TypedDict):
    """Averages of power functions: `generator_ema`, `further_averages.0`, ... in the state dict.

    combined: the names of the generator's tensors that are averaged. recomputed: the arguments of
    `Sampler.recompute_statistics`, if batch statistics are.
    """

    profiles: Annotated[list[float], Field(min_length=1)]
    combined: list[str]
    recomputed: NotRequired[dict[Literal["batches", "batch_size", "seed"], NonNegativeInt]]


class Game(TypedDict):
    """The project's own state in a checkpoint. log_odds: whether the logits of the loss are log-odds."""

    format: NonNegativeInt
    version: str
    generator: Description
    discriminator: Description
    prior: Description
    ema: bool
    log_odds: NotRequired[bool]
    power: NotRequired[Profiles]
    round: NonNegativeInt
    images_seen: NonNegativeInt
    updates: dict[Literal["generator", "discriminator"], NonNegativeInt]
    batch_size: NotRequired[NonNegativeInt | None]
    roll_backs: NotRequired[NonNegativeInt]
    steps: NotRequired[dict[str, dict[str, Any]]]
    recorder: Pending


class Checkpoint(TypedDict):
    """The entries of a checkpoint that any use of it needs; `gan train` adds `config` and `run`."""

    __pydantic_config__ = ConfigDict(arbitrary_types_allowed=True)  # type: ignore[misc]

    gan_research: Game
    state_dict: dict[str, Tensor]
    config: NotRequired[dict[str, Any]]
    run: NotRequired[str]


def differences(saved: Any, current: Any, name: str = "") -> list[str]:
    """Return the differences of two nested containers, as lines 'name: saved -> current'."""
    if not (isinstance(saved, dict) and isinstance(current, dict)):
        return [] if saved == current else [f"{name}: {saved} -> {current}"]
    prefix, absent = f"{name}." if name else "", "(absent)"
    pairs = {key: (saved.get(key, absent), current.get(key, absent)) for key in saved | current}
    return [line for key, pair in pairs.items() for line in differences(*pair, f"{prefix}{key}")]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and synced to the disk.

    storage_options: the path that gets the file that is replaced.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Path | None = None) -> None:
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        append_digest(buffer)
        try:
            with buffer.getbuffer() as content:
                write_atomically(path, content, previous=storage_options)
        except OSError as error:
            problem = f"the checkpoint {path} was not written: {error.strerror or error}; the previous one is unharmed"
            raise UserError(f"{problem}. Free some space and resume from it") from error


class DamagedCheckpoint(UserError):
    """A checkpoint that is missing, truncated or damaged."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint's plain containers and CPU tensors, and verify them; no code in it is executed."""
    path = Path(path)
    if not path.is_file():
        raise DamagedCheckpoint(f"no checkpoint at {path}")
    try:
        with path.open("rb") as file:  # one file: a run may be replacing it
            verify_digest(file)
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = reason_of(error).partition(". ")[0]  # torch advises to trust it
        message = f"{path} can't be read as a checkpoint (truncated, damaged, or not one): {reason}"
        raise DamagedCheckpoint(message) from error
    with reading(path):
        require_plain(
            [checkpoint.get(key) for key in (MARK, "config")] if isinstance(checkpoint, dict) else [],
            leaf=lambda value: True,
        )
        checkpoint[MARK] = saved_game(checkpoint, path)
        has_shape(checkpoint, Checkpoint)
        if "config" in checkpoint:
            checkpoint["config"] = renamed_targets(checkpoint["config"])
    return checkpoint


def append_digest(archive: BytesIO) -> None:
    """Append the SHA-256 of an archive of torch.save as its comment.

    The checksums of its entries don't cover its directory, where a flipped bit can swap entries.
    """
    digest = sha256(archive.getbuffer()).digest()
    archive.seek(-len(NO_COMMENT), SEEK_END)
    archive.write(SHA256_COMMENT + digest)


def verify_digest(file: BinaryIO) -> None:
    """Verify a checkpoint's SHA-256, or without one the checksums of its entries; ValueError if wrong."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped, memoryview(mapped) as content:
        at = len(content) - sha256().digest_size
        has_digest = content[max(0, at - 22) :][:4] == END and content[at - 2 : at] == SHA256_COMMENT
        if has_digest:
            digest = sha256(content[: at - 2])
            digest.update(NO_COMMENT)
            if content[at:] != digest.digest():
                raise ValueError("it isn't what was written")
        elif content[-22:][:4] != END or content[-2:] != NO_COMMENT:
            raise ValueError("its end is missing")
    with ZipFile(file) as archive:
        require_no_bomb(archive)
        if not has_digest and (entry := archive.testzip()) is not None:
            raise ValueError(f"{entry} isn't what was written")
    file.seek(0)


def saved_game(checkpoint: Any, name: str | Path = "this") -> dict[str, Any]:
    """Return this project's state in a checkpoint; UserError if it is missing or of a later version."""
    if not isinstance(checkpoint, dict) or MARK not in checkpoint:
        raise UserError(f"{name} is a checkpoint of another program: it has no '{MARK}' entry")
    game = checkpoint[MARK]
    if not isinstance(game, dict) or not isinstance(game.get("format"), int):
        raise UserError(f"{name} has no format in its '{MARK}' entry: it isn't what was written")
    if game["format"] > FORMAT:
        raise UserError(f"{name} was written by a newer gan_research ({game.get('version')}): update to read it")
    return renamed_targets(game)


def open_checkpoint(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read a checkpoint, or a run's last one, and return its path and content.

    If a run's last checkpoint is damaged, the previous one is read; one of another run is a UserError.
    """
    path = Path(path)
    if not path.is_dir():
        return path, read_checkpoint(path)
    found, content = open_last(path)
    require_own(found, content.get("run"), path, run_id(path))
    return found, content


def open_last(path: Path) -> tuple[Path, dict[str, Any]]:
    """Read the last checkpoint of a run, or if it is damaged the previous one."""
    last, previous = path / CHECKPOINTS / LAST, path / CHECKPOINTS / PREVIOUS
    if not has_checkpoint(path):
        raise UserError(f"{path} has no {CHECKPOINTS}/{LAST}: give the folder of a run, or a checkpoint")
    try:
        return last, read_checkpoint(last)
    except DamagedCheckpoint as error:
        if not previous.is_file():
            raise
        reason = error
    try:
        content = read_checkpoint(previous)
    except DamagedCheckpoint as error:
        raise UserError(f"the run's last two checkpoints are both damaged: {reason}; {error}") from error
    log.warning("%s; the previous one is used, %s, of round %d", reason, previous, content[MARK]["round"])
    return previous, content


def has_checkpoint(run: Path) -> bool:
    """Return whether a run's folder has one of its last two checkpoints."""
    return any((run / CHECKPOINTS / name).is_file() for name in (LAST, PREVIOUS))


def saved_round(run: Path) -> int:
    """Return the round of a run's last checkpoint, without verifying the file; 0 if there is none."""
    for name in (LAST, PREVIOUS):
        with suppress(Exception):  # damaged: reported when it is opened
            content = torch.load(str(run / CHECKPOINTS / name), map_location="cpu", weights_only=True, mmap=True)
            return max(0, int(saved_game(content)["round"]))
    return 0


def batch_size_of(game: dict[str, Any]) -> int | None:
    """Return the real images of each update of the discriminator; None if that isn't known yet."""
    updates = game["updates"]["discriminator"]
    return game.get("batch_size") or (game["images_seen"] // updates if updates else None)


def weights_of(checkpoint: dict[str, Any], network: str) -> dict[str, Tensor]:
    """Return the state dict of one network: generator, generator_ema, ...; UserError if it is no use."""
    prefix = f"{network}."
    weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    return usable(weights, network)


def usable(weights: dict[str, Tensor], network: str) -> dict[str, Tensor]:
    """Return a network's weights; a UserError if there are none, or a value isn't finite."""
    if not any(value.is_floating_point() for value in weights.values()):
        raise UserError(f"there are no weights of the {network}: it isn't what was written")
    for name, value in weights.items():
        if not value.isfinite().all():
            raise UserError(f"{network}.{name} isn't finite: training diverged, use an earlier checkpoint")
    return weights
