"""Named variants: lists of overrides; a run takes one of them."""

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_research.config.overrides import concerns, literal, parsed, quoted, value_of
from gan_research.utils.errors import UserError, did_you_mean, one_line

NAME = re.compile(r"\w[\w.+-]*")
Variants = dict[str, list[str]]  # name -> its overrides


def chosen_variant(
    overrides: list[str], load: Callable[[str], dict[str, Any]]
) -> tuple[str | None, list[str], list[str]]:
    """Return the variant that overrides name, its own overrides, and the others that are given.

    load: name -> the content of a choice of variants=.
    """
    variants, given = split_variants(overrides, load)
    names = [o for o in given if concerns(o, "variant")]
    given = [o for o in given if o not in names]
    if not names:
        if variants:
            raise UserError(f"add variant=NAME for one of {', '.join(variants)}; or -m, which trains all of them")
        return None, [], given
    name = value_of(names[-1])
    if not variants:
        raise UserError(f"variant={name}: add variants=..., the list that has it")
    if name not in variants:
        raise UserError(f"there is no variant={name}: {did_you_mean(name, variants)}")
    return name, variants[name], given


def split_variants(overrides: list[str], load: Callable[[str], dict[str, Any]]) -> tuple[Variants, list[str]]:
    """Return the variants that variants=... lists, and the other overrides."""
    own = [o for o in overrides if concerns(o, "variants")]
    for o in own:
        if not o.startswith("variants="):
            raise UserError(f"{o}: give variants=NAME, or variants={{NAME: KEY=VALUE ..., ...}}")
        if (read := parsed(o)) is not None and read.is_sweep_override():
            raise UserError(f"{o}: for several lists give variants=[{o.partition('=')[2]}]")
    return read_variants(value_of(own[-1]), load) if own else {}, [o for o in overrides if o not in own]


def as_override(value: Any) -> str:
    """Return `variants` of a sweep file as an override."""
    return f"variants={value if isinstance(value, str) else quoted(json.dumps(value))}"


def read_variants(text: str, load: Callable[[str], dict[str, Any]]) -> Variants:
    """Return the variants of a text: a choice, a list of choices, or {NAME: OVERRIDES} in YAML."""
    if NAME.fullmatch(text):
        return checked(load(text), f"variants={text}")
    try:
        value = OmegaConf.to_container(OmegaConf.create(text))
    except (ValueError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"variants={text} can't be read: {one_line(error)}") from error
    if not isinstance(value, list):
        return checked(value, "variants")
    found: Variants = {}
    for name in value:
        own = checked(load(str(name)), f"variants={name}")
        if twice := [variant for variant in own if variant in found]:
            raise UserError(f"variants={text} has two variants '{twice[0]}': rename one of them")
        found |= own
    return found or checked({}, "variants")


def checked(value: Any, source: str) -> Variants:
    """Return name -> overrides, which `value` has as lists or as lines; raise a UserError for what isn't."""
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise UserError(f"{source}: give {{NAME: KEY=VALUE ..., ...}}")
    if not value:
        raise UserError(f"{source} has no variant: give at least one")
    return {name: overrides_of(name, given) for name, given in value.items()}


def overrides_of(name: str, given: Any) -> list[str]:
    """Return a variant's overrides; "" is the defaults."""
    if not NAME.fullmatch(name):
        raise UserError(f"variant '{name}': use letters, digits and _ . + - in its name")
    try:
        overrides = shlex.split(given) if isinstance(given, str) else given or []
    except ValueError as error:
        raise UserError(f"variant {name}: {given}: {error}") from error
    for override in overrides if isinstance(overrides, list) else [overrides]:
        if not isinstance(override, str) or ("=" not in override and not override.startswith("~")):
            raise UserError(f"variant {name}: {override} is not KEY=VALUE")
        if any(concerns(override, key) for key in ("variant", "variants")):
            raise UserError(f"variant {name}: {override}: a variant can't contain others")
        if (read := parsed(override)) is not None and read.is_sweep_override():
            raise UserError(f"variant {name}: {override} gives several values: name a variant for each")
    return [literal(override) for override in overrides]
