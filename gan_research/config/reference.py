"""The settings of a config, with their types, defaults and texts, read without importing components."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from textwrap import shorten
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING, OmegaConf

from gan_research.config import declarations, documentation, schema
from gan_research.config.compose import AUTO, conf_folder, experiment, file_of, groups, read
from gan_research.config.keys import KEYS
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.renamed import renamed

BASES = ("train.yaml", "multirun.yaml")  # the files with the default choices and the top-level keys
WIDEST = 50  # characters of a type
PLAIN = (int, float, str, bool, NoneType)
FROM_THE_RUN = (
    "board",
    "folder",
    "rolled_back",
    "run",
    "num_classes",
)  # arguments that the run itself gives to its components


class Setting(NamedTuple):
    """A setting: its full name, type as text, default value, and what it is."""

    name: str
    type: str
    default: Any
    text: str


class Reference:
    """The settings of the config tree and of the user's folder of choices."""

    def __init__(self, config_dir: Path | None = None) -> None:
        self.config_dir, self.groups = config_dir, groups(config_dir)
        files = [conf_folder() / name for name in BASES]
        self.comments = {key: text for file in files for key, text in comments_of(file).items()}
        trees = [plain(read(file)) for file in files]
        listed = [item for tree in trees for item in tree.pop("defaults") if isinstance(item, dict)]
        self.defaults = {group: choice for item in listed for group, choice in item.items()}
        self.tree = {key: value for tree in trees for key, value in tree.items()}

    def choices(self, group: str) -> list[str]:
        """Return the default choices of a group; metrics=auto is resolved."""
        chosen = self.defaults.get(group)
        names = chosen if isinstance(chosen, list) else [chosen] if chosen else []
        if (group, names) == ("metrics", [AUTO]):
            return [schema.suited_metrics(self.node("data", self.defaults["data"]))]
        return names

    def top_level(self, name: str) -> list[Setting]:
        """Return the setting of a top-level key without choices, or those of its component."""
        types = get_type_hints(schema.train, include_extras=True) | get_type_hints(schema.multirun, include_extras=True)
        if isinstance(value := self.tree[name], dict):
            return list(settings_of(value, name, self.comments))
        return [Setting(name, type_text(types[name]), value, self.comments.get(name, ""))]

    def title(self, group: str, choice: str) -> str:
        """Return the description of a choice, and its class with the summary of that."""
        node = {} if group == "experiment" else self.node(group, choice)
        lines = [f"{group}={choice}: {self.groups[group][choice]}"]
        if target := node.get("_target_"):
            lines.append(f"{target}: {documentation.summary(renamed(str(target)))}")
        return "\n".join(lines)

    def of_choice(self, group: str, choice: str, named: bool = False) -> list[Setting]:
        """Return the settings of a choice; a UserError if there is no such choice.

        named: it is one of several, so that its name is part of the settings' names.
        """
        name = group.replace("/", ".") + (f".{choice}" if named or is_several(group) else "")
        file = self.file(group, choice)
        if group == "experiment":
            node = {key: value for key, value in experiment(choice, self.config_dir).items() if key in self.tree}
            return list(settings_of(node, "", comments_of(file)))
        found = list(settings_of(self.node(group, choice), name, comments_of(file)))
        return [s for s in found if group != "trainer" or s.name.split(".")[1] in schema.TRAINER]

    def file(self, group: str, choice: str) -> Path:
        """Return the file of a choice; a UserError if there is no such choice."""
        if (file := file_of(group, choice, self.config_dir)) is None:
            raise UserError(f"there is no {group}={choice}: {did_you_mean(choice, self.groups[group])}")
        return file

    def node(self, group: str, choice: str) -> dict[str, Any]:
        """Return the config of a choice with the defaults of `gan train`, interpolations as they are."""
        own = self.tree.get(group) or {}
        own = own.get(choice, {}) if is_several(group) else own
        node = plain(OmegaConf.merge(read(self.file(group, choice)), own))
        for item in node.pop("defaults", []):
            if isinstance(item, dict) and group in KEYS:
                inner = {key: self.node(f"{group}/{key}", name) for key, name in item.items()}
                node = inner | node
        return node


def is_several(group: str) -> bool:
    """Return whether a group takes several choices, whose names are part of the settings' names."""
    return group in KEYS and KEYS[group].several


def settings_of(value: Any, name: str, comments: dict[str, str]) -> Iterator[Setting]:
    """Yield the settings of a part of a config, and of the components in it.

    comments: of its file, for arguments that the docstrings of the components tell nothing of.
    """
    if not isinstance(value, dict) or not value:
        yield Setting(name, "", value, comments.get(name.rpartition(".")[2], ""))
    elif "_target_" not in value:
        for key, inner in value.items():
            yield from settings_of(inner, f"{name}.{key}".lstrip("."), comments)
    else:
        target = renamed(str(value["_target_"]))
        for argument, kind in types_of(value, name).items():
            full, default = f"{name}.{argument}", value.get(argument, declarations.defaults(target).get(argument))
            if isinstance(default, dict) and "_target_" in default:
                yield from settings_of(default, full, comments)
            elif argument in value or (argument in declarations.defaults(target) and is_setting(argument, kind)):
                text = documentation.explanation(target, argument, comments.get(argument, ""))
                yield Setting(full, type_text(kind), default, text)


def plain(config: Any) -> dict[str, Any]:
    """Return a config as plain containers, with its interpolations as they are."""
    container = OmegaConf.to_container(config)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def types_of(node: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the arguments of a component with their types; Any if unknown."""
    try:
        declared = declarations.signature(renamed(str(node["_target_"])))[0]
    except declarations.Unreadable:
        return schema.arguments_of(schema.target_of(node, name))[0]
    types = {}
    for argument, kind in declared.items():
        try:
            types[argument] = kind() if isinstance(kind, partial) else kind
        except declarations.Unreadable:
            types[argument] = Any
    return types


def is_setting(argument: str, kind: Any) -> bool:
    """Return whether a config may set an argument that its file doesn't repeat."""
    return argument not in FROM_THE_RUN and is_plain(kind)


def is_plain(kind: Any) -> bool:
    """Return whether a type is one of plain values."""
    if get_origin(kind) is Literal:
        return True
    inner = get_args(kind)[:1] if get_origin(kind) is Annotated else get_args(kind)
    return all(map(is_plain, inner)) if inner else kind in (*PLAIN, Ellipsis, list, dict)


def type_text(kind: Any) -> str:
    """Return a type as text: "int > 0 or null"; "" for one that isn't known."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_text(inner[0]) + "".join(map(bounds_text, inner[1:]))
    if origin is Literal:
        return shorten(" or ".join(map(str, inner)), WIDEST, placeholder=" ...")
    if origin in (Union, UnionType):
        return shorten(" or ".join(filter(None, map(type_text, inner))), WIDEST, placeholder=" ...")
    if kind is NoneType:
        return "null"
    if origin is dict or kind is dict:
        return "mapping"
    if inner and isinstance(origin, type):
        return f"list of {type_text(inner[0])}"
    return kind.__name__ if kind in PLAIN else ""


def bounds_text(constraint: Any) -> str:
    """Return the bounds in a constraint of pydantic: " > 0"."""
    constraints = getattr(constraint, "metadata", None) or [constraint]
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    found = [(sign, getattr(one, name, None)) for one in constraints for name, sign in signs.items()]
    return "".join(f" {sign} {bound}" for sign, bound in found if bound is not None)


def value_text(value: Any) -> str:
    """Return a default as it is written in an override; "required" if it has to be given."""
    if value == MISSING:
        return "required"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def comments_of(file: Path) -> dict[str, str]:
    """Return the comments in a config file by their keys, without lists of other values."""
    lines = re.findall(r"^ *(\w+):.*? # *(.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {key: text for key, text in lines if not text.startswith("or ")}
