"""Paths in command lines and configs that have to exist, checked before torch is imported; the cache folder."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

from gan_research.utils.errors import UserError


def existing(path: str) -> str:
    """Return the path; ValueError if there is no such file or folder."""
    if not Path(path).expanduser().exists():
        raise ValueError(f"there is no file or folder {Path(path).expanduser().absolute()}")
    return path


def require_path(path: str | Path) -> None:
    """Raise a UserError if there is no such file or folder."""
    try:
        existing(str(path))
    except ValueError as error:
        raise UserError(str(error)) from None


def cache_folder() -> Path:
    """Return $GAN_RESEARCH_CACHE, or gan_research in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("GAN_RESEARCH_CACHE") or Path(user) / "gan_research")


DATA_SETS = (".h5", ".hdf5", ".zip", ".tar")  # and .npz: files of images
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def refuse_archive(path: Path, remedy: str) -> None:
    """Raise a UserError if a file is an archive by its name."""
    if path.suffix.lower() in ARCHIVES and path.is_file():
        raise UserError(f"{path} is an archive ({path.suffix}): unpack it, and {remedy}")


HUB = "hf://"  # an address on the Hugging Face Hub: hf://USER/NAME


def is_on_hub(source: str | Path) -> bool:
    """Return whether a source is an address of the hub instead of a path."""
    return str(source).startswith(HUB)


def existing_or_hub(path: str) -> str:
    """Return the path; ValueError if it neither exists nor is an address on the hub."""
    return path if is_on_hub(path) else existing(path)


def is_existing_or_hub(path: str) -> bool:
    """Return whether there is such a file, folder, or address on the hub."""
    return is_on_hub(path) or Path(path).expanduser().exists()


ImageSource = Annotated[str, AfterValidator(existing_or_hub)]
"""The annotation of an argument that is the path of stored images, or hf://USER/NAME."""

ExistingPath = Annotated[str, AfterValidator(existing)]
"""The annotation of an argument that is the path of an existing file or folder."""
