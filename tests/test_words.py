"""The style rule of docs/design.md: how docstrings begin, and phrases that no text of the project has."""

import ast
import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SOURCES = sorted(path for folder in ("gan_research", "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py"))
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "tutorials").glob("*.md")]
TEXTS = sorted([*PAGES, *(ROOT / "conf").rglob("*.yaml"), *SOURCES])
TEXTS.remove(ROOT / "gan_research" / "utils" / "renamed.py")  # a table of old names

NO_SUBJECT = {
    "what",
    "whether",
    "who",
    "whom",
    "whose",
    "why",
    "where",
    "when",
    "how",
    "which",
    "of",
    "those",
    "these",
    "that",
    "this",
    "its",
    "it",
    "all",
    "each",
    "every",
    "any",
    "some",
    "both",
    "one",
    "no",
    "none",
    "nothing",
    "from",
    "in",
    "on",
    "at",
    "by",
    "for",
    "with",
    "without",
    "as",
    "to",
    "if",
    "inside",
}
"""Words that a docstring doesn't begin with: it begins with a verb or with the name of a thing."""

VERBS = set((ROOT / "tests" / "verbs.txt").read_text().split())
"""Verbs that a function's docstring may begin with."""

BANNED = {
    r"play|plays|played|playing": "train, run",
    r"pictures?": "image, figure",
    r"go on|goes on|going on|gone on|went on": "resume, continue",
    r"to be had": "available",
    r"lies|lie|lay|lain": "is, is in",
    r"stands?(?! for)|stood": "is",
    r"says?|said": "report, state, specify",
    r"mends?|mended": "fix",
    r"watchers?": "analysis",
    r"trainings": "runs",
    r"rooms?": "package",
    r"needn't|mustn't|shan't": "doesn't need to",
    r"of which|of whom|therein|thereof|wherein|hereby|anew|hitherto|thence|whence": "a plain clause",
    r"(?:is|are|was|were) (?:that|those) of": "a plain clause",
    r"beside|besides": "next to, with, in addition",
    r"what (?:was|is) asked for": "the request",
    r"held? against": "compare with",
    r"forth": "forward",
    r"farther|furthest": "further, last",
    r"epitaph|told": "a plain word",
}
"""Pattern -> the standard words."""


def docstrings(path: Path) -> Iterator[tuple[int, bool, str]]:
    """Yield (line, whether it is a function's, text) of each docstring, those of constants included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if text := ast.get_docstring(node):
                properties = {"property", "cached_property"}
                names = {getattr(d, "id", "") for d in getattr(node, "decorator_list", [])}
                function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not names & properties
                yield getattr(node, "lineno", 1), function, text
            body = node.body
            for before, after in pairwise(body):
                match before, after:
                    case (ast.Assign() | ast.AnnAssign(), ast.Expr(value=ast.Constant(value=str(text)))):
                        yield after.lineno, False, text


def broken_rules(path: Path) -> list[str]:
    """Return "file:line: fault" for each docstring of a module that breaks the rule."""
    found = []
    for line, function, text in docstrings(path):
        first = re.split(r"(?<=[.:;?!])\s|\n\n", text.strip(), maxsplit=1)[0]
        plain = re.sub(r"`[^`]*`|\([^()]*\)", "x", first)  # code and what is in brackets count as a word
        word = re.split(r"[\s,.:;]", text.strip(), maxsplit=1)[0]
        where = f"{path.relative_to(ROOT)}:{line}"
        if word.lower() in NO_SUBJECT:
            found.append(f"{where}: begins with {word!r}")
        elif function and word.isalpha() and word.lower() not in VERBS | {"the", "a", "an"}:
            found.append(f"{where}: begins with {word!r}, which isn't a verb or article")
        if len(plain.split()) > 15:
            found.append(f"{where}: first sentence has {len(plain.split())} words")
    return found


def banned_phrases(path: Path) -> list[str]:
    """Return "file:line: phrase" for each banned phrase; claims are exempt, as kept records repeat their texts."""
    found = []
    text = path.read_text().partition("\npublished:")[0] if path.suffix == ".yaml" else path.read_text()
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, instead in BANNED.items():
            if match := re.search(rf"\b(?:{pattern})\b", line, re.IGNORECASE):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]!r}: write {instead}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_begin_with_a_verb_or_the_name_of_a_thing(path: Path):
    assert broken_rules(path) == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_banned_phrase(path: Path):
    assert banned_phrases(path) == []


if __name__ == "__main__":
    wanted = [Path(argument).resolve() for argument in sys.argv[1:]] or [ROOT]
    for file in TEXTS:
        if any(file.is_relative_to(folder) for folder in wanted):
            for fault in [*(broken_rules(file) if file.suffix == ".py" else []), *banned_phrases(file)]:
                print(fault)
