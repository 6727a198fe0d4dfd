"""Published weights: found where their own libraries keep them, never downloaded, and read as tensors only."""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from gan_research.utils.errors import UserError


class Published(NamedTuple):
    """A published file of weights.

    sha256: the hexadecimal SHA-256 of the file, or its beginning; None: unknown.
    folder: where its library keeps it; None: torch's hub cache.
    """

    file: str
    url: str
    sha256: str | None = None
    folder: str | None = None

    @property
    def path(self) -> Path:
        """The file's path in its library's folder."""
        folder = Path(self.folder) if self.folder else Path(torch.hub.get_dir(), "checkpoints")
        return folder.expanduser() / self.file


def find(weights: str | None, published: Sequence[Published], model: str) -> Path:
    """Return the file `weights`, or if that is None the first published one that exists.

    Raises a UserError if there is none, with the file to download and the folder to put it in.
    """
    paths = [Path(weights).expanduser()] if weights else [file.path for file in published]
    for path in paths:
        if path.is_file():
            return path
    first = published[0]
    raise UserError(
        f"there are no {model} weights at {paths[0]}: download {first.file} from {first.url} and put it there"
        + ("" if weights else ", or specify another path with metrics.extractor.weights=PATH")
    )


def load(path: Path, model: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Return the tensors of a file (.safetensors, or torch.save's) by name, on the CPU; no code is executed.

    Raises a UserError if it contains anything else, or if its SHA-256 doesn't begin with `sha256`.
    """
    if sha256 and not (found := sha256_of(path)).startswith(sha256.lower()):
        raise UserError(
            f"{path} isn't the expected file of {model} weights; fetch it again (its SHA-256 is {found}, not {sha256})"
        )
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(tensors, dict) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            raise TypeError("it isn't a dict of tensors")
        return tensors
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, TypeError, ValueError) as error:
        raise unreadable(path, model, error) from error


def fill(network: nn.Module, tensors: dict[str, Tensor], path: Path, model: str) -> None:
    """Load `tensors`, read from `path`, into a network, which may be on the meta device.

    Raises a UserError if names or shapes differ.
    """
    try:
        network.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise unreadable(path, model, error) from error


def load_published(
    network: nn.Module,
    weights: str | None,
    published: Published,
    model: str,
    sha256: str | None = None,
    convert: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
) -> None:
    """Load the file `weights`, or the published one, into a network; the published one's SHA-256 is checked."""
    path = find(weights, [published], model)
    tensors = load(path, model, sha256 if weights or sha256 else published.sha256)
    fill(network, convert(tensors), path, model)


def unreadable(path: Path, model: str, error: Exception) -> UserError:
    """Return the error of a file with other content, without torch's advice to trust it."""
    reason = str(error).partition("\n")[0].partition(". ")[0].rstrip(":.") or type(error).__name__
    return UserError(f"{path} isn't a file of {model} weights; fetch it again ({reason})")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal characters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
