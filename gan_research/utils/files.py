"""Atomic writing of files and folders, and values for JSON."""

import math
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

from gan_research.utils.errors import UserError


def write_atomically(path: str | Path, content: bytes | memoryview, previous: Path | None = None) -> None:
    """Write a file so that `path` holds all of `content` or its old content.

    previous: gets the old content once `path` has the new one; until then it is unchanged. An OSError names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, kept = partial_of(path), None
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if previous is not None and path.is_file():
            kept = partial_of(previous)
            link_or_copy(path, kept)
        os.replace(partial, path)
        if previous is not None and kept is not None:
            os.replace(kept, previous)
    except OSError as error:  # that of a failed write doesn't name the path
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        for left in filter(None, (partial, kept)):
            with suppress(OSError):
                left.unlink()


def file_name(text: str) -> str:
    """Return a text as the name of a file or folder."""
    return re.sub(r"[^\w.+=-]+", "_", text)


def partial_of(path: Path) -> Path:
    """Return the name under which this process writes a file until it is whole."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


def link_or_copy(source: Path, target: Path) -> None:
    """Link a new name to a file, or copy it on file systems without links."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link(source: Path, target: Path, copy: bool = False) -> None:
    """Link or copy a file atomically to a name, which may be taken."""
    partial = partial_of(target)
    try:
        (shutil.copyfile if copy else link_or_copy)(source, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)  # os.replace leaves it if both are the same file


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a hidden folder that becomes the folder `path` at the end; after an error there is none.

    Raises a UserError if `path` isn't new, and an OSError that names `path`.
    """
    require_new_folder(path)
    path = path.resolve()
    partial = partial_of(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def require_new_folder(path: Path) -> None:
    """Raise a UserError unless `path` is new or empty, and not the working directory."""
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file: give a new folder")
    if path.is_dir() and (any(path.iterdir()) or path.samefile(".")):
        raise UserError(f"{path} exists, and its files would be mixed with new ones: give a new folder")


def free_name(path: Path) -> Path:
    """Return the path, or the first of NAME-2, NAME-3, ... that doesn't exist."""
    if not path.exists():
        return path
    return next(p for n in count(2) if not (p := path.with_stem(f"{path.stem}-{n}")).exists())


def discard(descriptor: int) -> None:
    """Discard what is written to a file descriptor from now on."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, descriptor)
    os.close(nothing)


def write_npz(path: str | Path, arrays: dict[str, Any]) -> None:
    """Write a compressed .npz of `arrays` atomically."""
    import numpy as np

    content = BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomically(path, content.getbuffer())


def as_json(value: Any) -> Any:
    """Return the value in JSON's types; NaN and infinite numbers become strings."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, str | int | bool) else str(value)
