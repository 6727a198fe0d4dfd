"""Reading of files that may be damaged, or of another shape: each failure is one line with the file and the field."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast
from zipfile import ZipFile

import yaml
from pydantic import TypeAdapter, ValidationError

from gan_research.utils.errors import UserError, one_line

T = TypeVar("T")

DEPTH, PARTS, BITS = 100, 5_000_000, 64  # limits of plain data: nesting, number of values, size of an integer
UNPACKED, RATIO = 2**30, 100  # an archive that unpacks to more bytes, and to more times its size, is a bomb
LENGTH = 1000  # the maximum number of characters of a message, and of a reason


class UnreadableFile(UserError):
    """A file that is missing, damaged, or of another shape."""


@contextmanager
def reading(path: str | Path, advice: str = "", problem: str = "can't be read") -> Iterator[None]:
    """Turn any error, also of recursion or memory, into an `UnreadableFile`.

    Its message is the path, the problem, the reason and the advice. A UserError gets the path if it lacks it.
    """
    try:
        yield
    except UserError as error:
        message = str(error) if str(path) in str(error) else f"{path}: {error}"
        error.args = (limited(message),)
        raise
    except Exception as error:
        raise UnreadableFile(f"{path} {problem}: {reason_of(error)}{advice}") from error


def reason_of(error: Exception) -> str:
    """Return the reason of a failed reading on one line of limited length."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        reason = f"{'.'.join(map(str, first['loc'])) or 'its content'}: {first['msg']}"
    elif isinstance(error, RecursionError):
        reason = "it is nested too deeply"
    elif isinstance(error, MemoryError):
        reason = f"it needs more memory than there is ({one_line(error)})"
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror
    else:
        reason = f"no {error}" if type(error) is KeyError else one_line(error)
    return limited(reason)


def limited(text: str) -> str:
    """Return a text, cut if it is too long for a line."""
    return text if len(text) <= LENGTH else text[:LENGTH] + "..."


def read_json(path: Path, shape: type[T]) -> T:
    """Return the content of a JSON file in a shape: a type, `TypedDict` or dataclass; others' fields are left out."""
    with reading(path):
        return shaped(json.loads(path.read_text(encoding="utf-8")), shape)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file."""
    with reading(path):
        return shaped(yaml.safe_load(path.read_text(encoding="utf-8")), dict[str, Any])


def shaped(content: Any, shape: type[T]) -> T:
    """Return plain data in a shape; an error with the first field that doesn't have it."""
    require_plain(content)
    return has_shape(content, shape)


def has_shape(content: Any, shape: type[T]) -> T:
    """Return any data in a shape; a ValidationError with the first field that doesn't have it."""
    return cast(T, adapter_of(cast(Any, shape)).validate_python(content))


@cache
def adapter_of(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def require_plain(content: Any, leaf: Callable[[Any], bool] | None = None) -> None:
    """Raise a ValueError with the first part that isn't plain data of a sensible size.

    Values are counted in the expanded tree: references, as in YAML, may repeat a part exponentially often, or for ever.
    leaf: whether a value other than a container may occur; by default `is_plain`.
    """
    leaf = leaf or is_plain
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), content)]
    count = 0
    while waiting:
        name, part = waiting.pop()
        if not isinstance(part, dict | list | tuple):
            continue
        count += len(part)
        if count > PARTS or len(name) > DEPTH:
            raise ValueError(f"{named(name[:3])} has more than {PARTS:,} values, or is nested more than {DEPTH} deep")
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part):
            if isinstance(part, dict) and not (isinstance(key, str) and is_unicode(key)):
                raise ValueError(f"{named(name)} has a key that isn't text: {key!a:.40}")
            if isinstance(inner, dict | list | tuple):
                waiting.append(((*name, key), inner))
            elif not leaf(inner):
                raise ValueError(f"{named((*name, key))} is no plain value: {inner!a:.40}")


def is_plain(value: Any) -> bool:
    """Return whether a value is None, a number (an integer below 2^64) or a text, in Unicode."""
    if isinstance(value, int):
        return value.bit_length() <= BITS
    return value is None or isinstance(value, float) or (isinstance(value, str) and is_unicode(value))


def is_unicode(text: str) -> bool:
    """Return whether a text can be written as UTF-8; half a surrogate pair, which JSON may have, can't."""
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)


def named(name: tuple[Any, ...]) -> str:
    """Return the full name of a part: "segments.0.round"."""
    return ascii(".".join(map(str, name)))[1:-1] or "it"


def require_no_bomb(archive: ZipFile) -> None:
    """Raise a ValueError for an archive that unpacks to many times its size."""
    assert archive.fp is not None
    size, unpacked = archive.fp.seek(0, 2), sum(entry.file_size for entry in archive.infolist())
    if unpacked > max(UNPACKED, RATIO * size):
        times = math.ceil(unpacked / max(size, 1))
        raise ValueError(f"it unpacks to {unpacked / 2**30:,.1f} GiB, {times:,} times its size")
