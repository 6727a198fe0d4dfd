"""Numbers and names as the page shows them."""

from typing import Any

from gan_research.report.rounding import rounded
from gan_research.report.statistics import Interval

NONE = "–"  # noqa: RUF001
"""The text of a missing number."""


def number(value: float | None) -> str:
    """Format a number with four significant digits."""
    if value is None:
        return NONE
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.3e}"
    return f"{value:#.4g}".removesuffix(".")


def spread(ends: Interval) -> str:
    """Return an interval, rounded to its width: "3.1 to 4.2"."""
    return f"{rounded(ends[0], ends)} to {rounded(ends[1], ends)}"


def count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def shortened(text: Any, length: int) -> str:
    """Return a text on one line, cut if it is longer."""
    line = " ".join(str(text).split())
    return line if len(line) <= length else line[: length - 1] + "…"


def label(text: Any, length: int = 28) -> str:
    """Return any text for Plotly, which reads <b>, <a> and &lt; as markup."""
    return shortened(text, length).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
