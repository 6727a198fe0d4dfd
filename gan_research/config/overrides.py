"""Overrides of a config, KEY=VALUE in Hydra's syntax: read, compared and written."""

import re
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from gan_research.config.keys import OF_SWEEPS
from gan_research.utils.errors import UserError


def merge_overrides(old: list[str], new: list[str]) -> list[str]:
    """Return new overrides, preceded by the old ones of other keys."""
    keys = set(map(key_of, new))
    kept = [o for o in old if not any(f"{key_of(o)}.".startswith(f"{key}.") for key in keys)]
    return kept + new


def of_sweep(override: str) -> bool:
    """Return whether an override sets a key of sweeps."""
    return any(concerns(override, key) for key in OF_SWEEPS)


def concerns(override: str, key: str) -> bool:
    """Return whether an override sets a key, or a key inside it."""
    return any(begins(override, f"{key}{end}") for end in "=./")


def key_of(override: str) -> str:
    """Return the key that an override sets or deletes."""
    return override.partition("=")[0].lstrip("+~")


def value_of(override: str) -> str:
    """Return the value of an override as text, without the quotes around it."""
    given = parsed(override)
    value = given.value() if given is not None and not given.is_sweep_override() else None
    return value if isinstance(value, str) else override.partition("=")[2]


def quoted(text: str | Path) -> str:
    """Return a text as the value of an override, quoted if it has to be."""
    if re.fullmatch(r"[a-zA-Z/][\w./+-]*", str(text), re.ASCII):
        return str(text)
    return QuotedString(str(text), Quote.single).with_quotes()


def parsed(override: str) -> Override | None:
    """Return an override as Hydra reads it; None if it can't."""
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException:
        return None


def literal(override: str) -> str:
    """Return an override whose value is quoted if Hydra can't read it, as in output=R&D.

    A value that begins with ~/ is in the home folder.
    """
    key, _, value = override.partition("=")
    if value.partition("/")[0] == "~":
        value = str(Path(value).expanduser())
    elif key == "resume" or parsed(override):
        return override
    if key == "resume":
        return f"{key}={value}"
    if parsed(quoted_override := f"{key}={quoted(value)}") is None:
        raise UserError(f"{override} can't be read: give KEY=VALUE, as in loss=hinge")
    return quoted_override


def begins(override: str, prefix: str) -> bool:
    """Return whether an override, without a + or ~, begins with a prefix."""
    return override.lstrip("+~").startswith(prefix)
