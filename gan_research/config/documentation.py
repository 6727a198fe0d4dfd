"""Docstrings of components, read from their source: a summary, and a text for each argument."""

import ast
import re
from collections.abc import Iterator
from textwrap import shorten

from gan_research.config import declarations

LONGEST = 240  # characters of a text
TO_AUTHORS = ("Base of", "A subclass")  # the beginnings of sentences on how to write a component


def summary(target: str) -> str:
    """Return the first paragraph of a component's docstring on one line; "" without one."""
    paragraph = next(docstrings(target), "").partition("\n\n")[0]
    return " ".join(paragraph.split())


def explanation(target: str, argument: str, comment: str = "") -> str:
    """Return the text on an argument in the docstrings of a component and its bases.

    It is a paragraph "argument: text"; else the comment in the config file; else a sentence with `argument`.
    """
    texts = list(docstrings(target))
    found = next(filter(None, (paragraph_of(text, argument) for text in texts)), comment)
    found = found or next(filter(None, (sentence_with(text, argument) for text in texts)), "")
    found = re.sub(r"\bNone:", "null:", " ".join(found.split()))
    return shorten(found, LONGEST, placeholder=" ...")


def docstrings(target: str) -> Iterator[str]:
    """Yield the docstrings of a component, its constructor and its bases."""
    for definition in declarations.definitions(target):
        methods = definition.body if isinstance(definition, ast.ClassDef) else []
        constructors = [m for m in methods if isinstance(m, ast.FunctionDef) and m.name == "__init__"]
        yield from filter(None, map(ast.get_docstring, (definition, *constructors)))


def paragraph_of(text: str, argument: str) -> str | None:
    """Return the text of "argument: text", up to the next such line, or an empty one."""
    start = rf"^ *(?:\w+, )*{re.escape(argument)}(?:, \w+)*(?: \(.*\))?: +"
    found = re.search(rf"{start}(.*(?:\n(?! *(?:\w+, )*\w+: ) *\S.*)*)", text, re.MULTILINE)
    return found[1] if found else None


def sentence_with(text: str, argument: str) -> str | None:
    """Return the first sentence for users that has `argument` in backticks."""
    sentences = re.split(r"(?<=\.)(?<!al\.)\s+|\n\n", text)
    return next((s for s in sentences if f"`{argument}`" in s and not s.startswith(TO_AUTHORS)), None)
