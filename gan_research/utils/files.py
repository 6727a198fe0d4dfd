"""Atomic writing of files, and values for JSON."""

import math
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write a file so that `path` holds all of `content` or its old content; an OSError names `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:  # that of a failed write doesn't name the path
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        partial.unlink(missing_ok=True)


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
