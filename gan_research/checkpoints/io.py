"""Checkpoints: written atomically, read safely, and enough to sample from by themselves."""

import logging
from contextlib import suppress
from hashlib import sha256
from io import SEEK_END, BytesIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZipFile

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from gan_research.utils.errors import UserError
from gan_research.utils.files import write_atomically
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.run_folder import CHECKPOINTS, LAST, PREVIOUS

MARK = "gan_research"
"""The key under which a checkpoint holds what is this project's."""

FORMAT = 1

END, NO_COMMENT, SEALED = b"PK\5\6", bytes(2), b"\x20\0"
"""Of a zip archive's last record, 22 bytes and the comment: its signature, and how long the comment is (0, 32)."""

log = logging.getLogger(__name__)


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
        seal(buffer)
        try:
            with buffer.getbuffer() as content:
                write_atomically(path, content)
        except OSError as error:
            raise UserError(
                f"the checkpoint {path} was not written: {error.strerror or error}; what it held before is unharmed. "
                f"Free some space and go on from there"
            ) from error


class Damaged(UserError):
    """A file that isn't there, or isn't a whole checkpoint."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The checkpoint's plain containers and CPU tensors, found to be what was written; nothing in it is executed."""
    path = Path(path)
    if not path.is_file():
        raise Damaged(f"no checkpoint at {path}")
    try:
        with path.open("rb") as file:  # one file, though a run may be writing the next
            require_whole(file)
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]  # torch's advice is to trust
        raise Damaged(f"{path} can't be read as a checkpoint (truncated, damaged, or not one): {reason}") from error
    checkpoint[MARK] = game_of(checkpoint, path)
    if "config" in checkpoint:
        checkpoint["config"] = renamed_targets(checkpoint["config"])
    return checkpoint


def seal(archive: BytesIO) -> None:
    """Add to an archive of torch.save, as its comment, the SHA-256 of all before.

    The checksums of its parts don't cover its directory: a bit there can make one part pass for another.
    """
    digest = sha256(archive.getbuffer()).digest()
    archive.seek(-len(NO_COMMENT), SEEK_END)
    archive.write(SEALED + digest)


def require_whole(file: BinaryIO) -> None:
    """Raise unless a checkpoint is what was written: by its seal, or, without one, by the checksums of its parts."""
    with mmap(file.fileno(), 0, access=ACCESS_READ) as mapped, memoryview(mapped) as content:
        at = len(content) - sha256().digest_size
        sealed = content[max(0, at - 22) :][:4] == END and content[at - 2 : at] == SEALED
        if sealed:
            digest = sha256(content[: at - 2])
            digest.update(NO_COMMENT)
            if content[at:] != digest.digest():
                raise ValueError("it isn't what was written")
        elif content[-22:][:4] != END or content[-2:] != NO_COMMENT:
            raise ValueError("its end is missing")
    if not sealed:
        with ZipFile(file) as archive:
            if (part := archive.testzip()) is not None:
                raise ValueError(f"{part} isn't what was written")
        file.seek(0)


def game_of(checkpoint: Any, name: str | Path = "this") -> dict[str, Any]:
    """What a checkpoint holds of this project's; an error where that is nothing, or of a later version."""
    if not isinstance(checkpoint, dict) or MARK not in checkpoint:
        raise UserError(f"{name} is a checkpoint of another program: it has no '{MARK}' entry")
    game = checkpoint[MARK]
    if game["format"] > FORMAT:
        raise UserError(f"{name} was written by a newer gan_research ({game['version']}): update to read it")
    return renamed_targets(game)


def open_checkpoint(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """A checkpoint's own path, and what it holds.

    path: a checkpoint; or the folder of a run: its last one, or the one before where that is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        return path, read_checkpoint(path)
    last, previous = path / CHECKPOINTS / LAST, path / CHECKPOINTS / PREVIOUS
    if not has_checkpoint(path):
        raise UserError(f"{path} has no {CHECKPOINTS}/{LAST}: give the folder of a run, or a checkpoint")
    try:
        return last, read_checkpoint(last)
    except Damaged as error:
        if not previous.is_file():
            raise
        reason = error
    try:
        content = read_checkpoint(previous)
    except Damaged as error:
        raise UserError(f"the run's last two checkpoints are both damaged: {reason}; {error}") from error
    log.warning("%s; the one before is used, %s, of round %d", reason, previous, content[MARK]["round"])
    return previous, content


def has_checkpoint(run: Path) -> bool:
    """Whether the run in that folder has written one of its last two checkpoints."""
    return any((run / CHECKPOINTS / name).is_file() for name in (LAST, PREVIOUS))


def rounds_played(run: Path) -> int:
    """How many rounds the run in that folder had played at its last checkpoint: a look, which verifies nothing."""
    for name in (LAST, PREVIOUS):
        with suppress(Exception):  # damaged: who opens it will be told
            content = torch.load(str(run / CHECKPOINTS / name), map_location="cpu", weights_only=True, mmap=True)
            return int(game_of(content)["round"])
    return 0


def weights_of(checkpoint: dict[str, Any], network: str) -> dict[str, Tensor]:
    """The state of one network: generator, generator_ema or discriminator."""
    prefix = f"{network}."
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
