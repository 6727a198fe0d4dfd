"""The page as one HTML file: what it says, the pictures, Plotly, all inside; it asks nobody for anything."""

import base64
import gzip
import hashlib
import html
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from gan_research._version import __version__
from gan_research.report.comparison import Comparison
from gan_research.report.page.content import completed, contents
from gan_research.report.page.pictures import sample_pictures
from gan_research.utils.files import write_atomically

LIMIT = 5_000_000
"""Bytes of a page: the pictures get what the rest leaves."""
MARGIN = 20_000


class Content(NamedTuple):
    """What a page says, and its pictures: id -> data URL."""

    document: dict[str, Any]
    pictures: dict[str, str]

    @property
    def version(self) -> str:
        """The same for the same content only."""
        return hashlib.sha256(f"{as_json(self.document)} {as_json(self.pictures)}".encode(errors="replace")).hexdigest()


def write_page(comparison: Comparison, path: str | Path) -> None:
    write_atomically(path, page_html(comparison).encode(errors="replace"))


def page_html(comparison: Comparison) -> str:
    return rendered(content_of(comparison))


def content_of(comparison: Comparison) -> Content:
    """Everything that is shown of a comparison."""
    document = contents(comparison)
    room = LIMIT - MARGIN - len(packed(as_json(document))) - shell_size()
    block, pictures = sample_pictures(comparison, room)
    return Content(completed(document, block), pictures)


def nothing(title: str, text: str) -> Content:
    """A page with nothing to show yet."""
    empty: dict[str, Any] = {"axes": [], "axis": None, "logarithmic": False, "groups": [], "sections": [], "arrays": []}
    return Content({"title": title, "summary": text, "notes": [], **empty}, {})


def rendered(content: Content, live: bool = False) -> str:
    """The HTML; live: it asks where it came from for what is newer."""
    return Template(part("page.html")).substitute(
        live=content.version if live else "",
        policy=policy(live),
        release=html.escape(__version__),
        title=html.escape(content.document["title"]),
        css=part("page.css"),
        document=as_json(packed(as_json(content.document))),
        pictures=as_json(content.pictures),
        library=library(),
        script=part("page.js"),
    )


def policy(live: bool) -> str:
    """Only the two scripts that were put in run; nothing is fetched, unless live: from the same address."""
    scripts = " ".join(f"'sha256-{digest(text)}'" for text in (part("page.js"), plotly()))
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def as_json(value: Any) -> str:
    """JSON that can stand in a <script>: without "<" it can't end it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(errors="replace"), 9, mtime=0)).decode()


@cache
def part(name: str) -> str:
    return (files(__package__) / name).read_text()


@cache
def plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@cache
def library() -> str:
    return packed(plotly())


@cache
def digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def shell_size() -> int:
    """Bytes of a page that says nothing."""
    return len(rendered(nothing("", "")).encode())
