"""Weights that others have published: found where their own libraries keep them, never downloaded, read as tensors."""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gan_research.utils.errors import UserError


class Published(NamedTuple):
    """A file of weights: its name, where it can be had, and where its library keeps it.

    sha256: the hexadecimal SHA-256 of the file, or how it begins; None: not known.
    folder: None: torch's hub cache.
    """

    file: str
    url: str
    sha256: str | None = None
    folder: str | None = None

    @property
    def path(self) -> Path:
        """Where its library keeps it."""
        folder = Path(self.folder) if self.folder else Path(torch.hub.get_dir(), "checkpoints")
        return folder.expanduser() / self.file


def find(weights: str | None, published: Sequence[Published], what: str) -> Path:
    """The file that `weights` names; None: the first published one that is there.

    Raises a UserError where there is none, which says what to download, and where to put it.
    """
    places = [Path(weights).expanduser()] if weights else [file.path for file in published]
    for path in places:
        if path.is_file():
            return path
    first = published[0]
    raise UserError(
        f"there are no {what} weights at {places[0]}: download {first.file} from {first.url} and put it there"
        + ("" if weights else ", or name another place with metrics.extractor.weights=PATH")
    )


def load(path: Path, what: str, sha256: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file (.safetensors, or torch.save's) by name, on the CPU; nothing in it is executed.

    Raises a UserError where it holds anything else, or where its SHA-256 doesn't begin with `sha256`.
    """
    if sha256 and not (found := sha256_of(path)).startswith(sha256.lower()):
        raise UserError(
            f"{path} isn't the expected file of {what} weights; fetch it again (its SHA-256 is {found}, not {sha256})"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise TypeError("it isn't a dict of tensors")
        return tensors
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, TypeError, ValueError) as error:
        raise unfit(path, what, error) from error


def fill(network: nn.Module, tensors: dict[str, Tensor], path: Path, what: str) -> None:
    """Make `tensors`, which `path` holds, the weights of a network, which may be on the meta device.

    Raises a UserError where their names or shapes are other ones.
    """
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise unfit(path, what, error) from error


def unfit(path: Path, what: str, error: Exception) -> UserError:
    """What to tell of a file that isn't what it should be. Torch's advice to trust it isn't passed on."""
    reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(":.") or type(error).__name__
    return UserError(f"{path} isn't a file of {what} weights; fetch it again ({reason})")


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
