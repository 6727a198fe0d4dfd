"""The page as one HTML file: content, images and Plotly are inside, and nothing is loaded."""

import base64
import gzip
import hashlib
import html
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, NamedTuple

from gan_research._version import __version__
from gan_research.report.comparison import Comparison
from gan_research.report.page.content import Section, contents, with_images
from gan_research.report.page.images import sample_images
from gan_research.utils.files import write_atomically

LIMIT = 5_000_000  # the maximum size of a page in bytes: images get what the rest leaves
MARGIN = 20_000


class Content(NamedTuple):
    """The content of a page, and its images: id -> data URL."""

    document: dict[str, Any]
    images: dict[str, str]

    @property
    def version(self) -> str:
        return hashlib.sha256(f"{as_json(self.document)} {as_json(self.images)}".encode(errors="replace")).hexdigest()


def write_page(comparison: Comparison, path: str | Path, first: Sequence[Section] = ()) -> None:
    """Write the page of a comparison. first: sections before all others."""
    write_atomically(path, render(content_of(comparison, first)).encode(errors="replace"))


def content_of(comparison: Comparison, first: Sequence[Section] = ()) -> Content:
    document = contents(comparison, first)
    block, images = sample_images(comparison, LIMIT - MARGIN - len(compressed(as_json(document))) - empty_size())
    return Content(with_images(document, block), images)


def empty_content(title: str, text: str) -> Content:
    empty: dict[str, Any] = {"axes": [], "axis": None, "logarithmic": False, "groups": [], "sections": [], "arrays": []}
    return Content({"title": title, "summary": text, "notes": [], **empty}, {})


def render(content: Content, live: bool = False) -> str:
    """Return the HTML; a live page asks its server for newer content."""
    return Template(source("page.html")).substitute(
        live=content.version if live else "",
        policy=policy(live),
        release=html.escape(__version__),
        title=html.escape(content.document["title"]),
        css=source("page.css"),
        document=as_json(compressed(as_json(content.document))),
        images=as_json(content.images),
        library=library(),
        script=source("page.js"),
    )


@cache
def policy(live: bool) -> str:
    """Return the content security policy: only the page's scripts run, only a live page fetches."""
    hashes = (hashlib.sha256(text.encode()).digest() for text in (source("page.js"), plotly()))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)
    connect = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {connect}; base-uri 'none'; form-action 'none'"
    )


def as_json(value: Any) -> str:
    """Return JSON for a <script>: without "<" it can't end it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def compressed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(errors="replace"), 9, mtime=0)).decode()


@cache
def source(name: str) -> str:
    return (files(__package__) / name).read_text("utf-8")


@cache
def plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


@cache
def library() -> str:
    return compressed(plotly())


@cache
def empty_size() -> int:
    """Return the bytes of a page without content."""
    return len(render(empty_content("", "")).encode())
