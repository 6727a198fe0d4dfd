"""Atomic writing of files, and values for JSON."""

import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any


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
