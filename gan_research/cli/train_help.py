"""`gan train --help`: all groups, choices and top-level keys, or the settings of those that are named."""

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table
from rich.text import Text

from gan_research.config.keys import KEYS, OF_SWEEPS
from gan_research.config.other_tools import suggestion
from gan_research.config.reference import Reference, Setting, value_text
from gan_research.utils.consoles import of_width
from gan_research.utils.errors import UserError

WIDE = 500  # characters in a line without a terminal, so that lines aren't wrapped


def show_help(usage: str, words: list[str], config_dir: Path | None) -> None:
    """Print the settings of each GROUP=CHOICE and KEY; without any, the usage, all groups and the top-level keys."""
    reference = Reference(config_dir)
    if words := [word for word in words if not word.startswith("resume=")]:
        show_words(reference, words)
    else:
        print(usage)
        show_all(reference)


def show_all(reference: Reference) -> None:
    """Print each group with its choices, and the top-level keys."""
    for group in sorted(reference.groups):
        show_choices(reference, group)
    for title, of_sweep in (("keys", False), ("keys of a sweep", True)):
        names = [name for name in reference.tree if (name in OF_SWEEPS) == of_sweep and name not in reference.groups]
        show(f"\n{title}, with their defaults:", [s for name in names for s in reference.top_level(name)])


def show_choices(reference: Reference, group: str) -> None:
    """Print a group with its choices and their descriptions."""
    choices = reference.groups[group]
    width = max(map(len, choices))
    print(f"{group}=")
    print("\n".join(f"  {choice:<{width}}  {line}" for choice, line in choices.items()))


def show_words(reference: Reference, words: list[str]) -> None:
    """Print the settings of each GROUP=CHOICE and KEY; a UserError for the first that doesn't exist."""
    for title, settings in [section for word in words for section in sections(reference, word)]:
        show(title, settings)
    for group in [word for word in words if word in reference.groups]:
        show_choices(reference, group)


def sections(reference: Reference, word: str) -> Iterator[tuple[str, list[Setting]]]:
    """Yield the title and the settings of each choice that a word names."""
    group, equals, value = word.lstrip("+~").partition("=")
    if equals and group in reference.groups:
        for choice in map(str.strip, value.strip("[]").split(",")):
            settings = reference.of_choice(group, choice)
            yield reference.title(group, choice), settings
        return
    found = dict(matching(reference, group))  # also of rounds=100
    if not found and group not in reference.groups:
        valid = [s.name for _, settings in of_group(reference, group) for s in settings] if "." in group else []
        raise UserError(f"there is no {group}: {suggestion(group, valid or [*KEYS, *reference.groups])}")
    yield from found.items()


def matching(reference: Reference, key: str) -> Iterator[tuple[str, list[Setting]]]:
    """Yield the settings of a key, or inside it, under the titles of their choices."""
    for title, settings in of_group(reference, key):
        if own := [s for s in settings if f"{s.name}.".startswith(f"{key}.")]:
            yield title, own
        elif key in reference.groups:
            yield title, []


def of_group(reference: Reference, key: str) -> Iterator[tuple[str, list[Setting]]]:
    """Yield the settings of the choices that a key is about: the one in its name, or the default ones."""
    top, inner = f"{key}.".split(".")[:2]
    if top in reference.groups:
        named = top in KEYS and (KEYS[top].several or KEYS[top].named) and inner in reference.groups[top]
        for choice in [inner] if named else reference.choices(top):
            yield reference.title(top, choice), reference.of_choice(top, choice, named)
    elif top in reference.tree:
        yield "", reference.top_level(top)


def show(title: str, settings: list[Setting]) -> None:
    """Print a table of settings under a title."""
    console = of_width(WIDE)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for name, kind, default, text in settings:
        table.add_row(*map(Text, (f"  {name}", kind, value_text(default), text)))
    if title:
        console.print(title, highlight=False, markup=False)
    if settings:
        console.print(table, highlight=False, markup=False)
