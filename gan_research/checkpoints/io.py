"""Checkpoint files: written atomically, read safely, and sufficient to sample from."""

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

MARK = "gan_research"  # the key of a checkpoint under which this project stores its own state

FORMAT = 1

END, NO_COMMENT, SHA256_COMMENT = b"PK\5\6", bytes(2), b"\x20\0"
"""Fields of a zip archive's last record (22 bytes and the comment): signature, length of the comment (0, 32)."""

log = logging.getLogger(__name__)


def differences(saved: Any, current: Any, name: str = "") -> list[str]:
    """Return the differences of two nested containers, as lines 'name: saved -> current'."""
    if not (isinstance(saved, dict) and isinstance(current, dict)):
        return [] if saved == current else [f"{name}: {saved} -> {current}"]
    prefix, absent = f"{name}." if name else "", "(absent)"
    pairs = {key: (saved.get(key, absent), current.get(key, absent)) for key in saved | current}
    return [line for key, pair in pairs.items() for line in differences(*pair, f"{prefix}{key}")]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and synced to the disk."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        append_digest(buffer)
        try:
            with buffer.getbuffer() as content:
                write_atomically(path, content)
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
        reason = (str(error) or type(error).__name__).splitlines()[0].partition(". ")[0]  # torch advises to trust it
        message = f"{path} can't be read as a checkpoint (truncated, damaged, or not one): {reason}"
        raise DamagedCheckpoint(message) from error
    checkpoint[MARK] = saved_game(checkpoint, path)
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
    if not has_digest:
        with ZipFile(file) as archive:
            if (entry := archive.testzip()) is not None:
                raise ValueError(f"{entry} isn't what was written")
        file.seek(0)


def saved_game(checkpoint: Any, name: str | Path = "this") -> dict[str, Any]:
    """Return this project's state in a checkpoint; UserError if it is missing or of a later version."""
    if not isinstance(checkpoint, dict) or MARK not in checkpoint:
        raise UserError(f"{name} is a checkpoint of another program: it has no '{MARK}' entry")
    game = checkpoint[MARK]
    if game["format"] > FORMAT:
        raise UserError(f"{name} was written by a newer gan_research ({game['version']}): update to read it")
    return renamed_targets(game)


def open_checkpoint(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """Read a checkpoint, or a run's last one, and return its path and content.

    If a run's last checkpoint is damaged, the previous one is read.
    """
    path = Path(path)
    if not path.is_dir():
        return path, read_checkpoint(path)
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
            return int(saved_game(content)["round"])
    return 0


def weights_of(checkpoint: dict[str, Any], network: str) -> dict[str, Tensor]:
    """Return the state dict of one network: generator, generator_ema or discriminator."""
    prefix = f"{network}."
    return {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
