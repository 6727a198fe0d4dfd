"""The sample grids of a page: as many as there is room for, small enough to travel in it."""

import base64
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from gan_research.report.comparison import Comparison
from gan_research.report.records import Record

ROUNDS = 24
SEEDS = 5
AT_MOST = 400
"""Pictures of a page: making them takes time."""
PIXELS = 640
"""The longer side at most."""
QUALITY = 82


def sample_pictures(comparison: Comparison, room: int) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """What the page says of its pictures (None where there are none), and they: id -> data URL, in `room` bytes.

    Each group has a column, in which a run of it (its seed) is chosen. The first runs come first, and of the rounds the
    last, the first, then those in the middle of what is there.
    """
    columns = [
        (i, group, [r for r in records if r.samples][:SEEDS])
        for i, (group, records) in enumerate(comparison.groups.items())
    ]
    columns = [column for column in columns if column[2]]
    rounds = chosen_rounds([runs for _, _, runs in columns])
    pictures: dict[str, str] = {}
    left_out = set()
    for i, run, round in in_order(columns, rounds):
        key = f"{i}/{run}/{round}"
        path = columns[i][2][run].samples.get(round)
        url = picture_of(path) if path else None
        if url is None:
            continue
        room -= len(url) + len(key) + 8
        if room < 0 or len(pictures) == AT_MOST:
            left_out.add(round)
            break
        pictures[key] = url
    if not pictures:
        return None, {}
    shown = [round for round in rounds if any(key.endswith(f"/{round}") for key in pictures)]
    return {
        "kind": "pictures",
        "rounds": shown,
        "columns": [
            {
                "group": group,
                "name": name,
                "runs": [run_label(run) for n, run in enumerate(runs) if has_any(pictures, i, n)],
            }
            for i, (group, name, runs) in enumerate(columns)
        ],
        "cut": bool(left_out),
    }, pictures


def has_any(pictures: dict[str, str], column: int, run: int) -> bool:
    return any(key.startswith(f"{column}/{run}/") for key in pictures)


def run_label(run: Record) -> str:
    return run.name if run.seed is None else f"seed {run.seed}"


def chosen_rounds(columns: list[list[Record]]) -> list[int]:
    """At most ROUNDS of those that the first runs of all columns have; where they share none, of those that any has."""
    sets = [set(runs[0].samples) for runs in columns]
    if not sets:
        return []
    rounds = sorted(set.intersection(*sets) or set.union(*sets))
    n = min(len(rounds), ROUNDS)
    return [rounds[round(i * (len(rounds) - 1) / max(1, n - 1))] for i in range(n)]


def in_order(columns: list[tuple[int, str, list[Record]]], rounds: list[int]) -> Iterator[tuple[int, int, int]]:
    """(column, run, round), the most telling first."""
    for run in range(SEEDS):
        for round in halving(rounds):
            for i, (_, _, runs) in enumerate(columns):
                if run < len(runs):
                    yield i, run, round


def halving(rounds: list[int]) -> list[int]:
    """The last, the first, then the middle of each gap, gap by gap."""
    if len(rounds) < 3:
        return rounds[::-1]
    order, gaps = [len(rounds) - 1, 0], [(0, len(rounds) - 1)]
    while gaps:
        low, high = gaps.pop(0)
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return [rounds[i] for i in order]


def picture_of(path: Path) -> str | None:
    """A picture's data URL; None where it can't be read (yet)."""
    try:
        told = path.stat()
        return encoded(path, told.st_mtime_ns, told.st_size)
    except (OSError, ValueError, SyntaxError):  # gone, half written, or no picture
        return None


@lru_cache(maxsize=2000)
def encoded(path: Path, changed: int, size: int) -> str:
    """The file as it is, where that is a PNG of few bytes; otherwise as WebP."""
    from PIL import Image

    with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as opened:
        if opened.width * opened.height > 64_000_000:
            raise ValueError(f"{path}: too large a picture")
        kind, content = f"image/{str(opened.format).lower()}", path.read_bytes()
        image = opened.convert("RGB")
    if max(image.size) > PIXELS or len(content) > 4000:
        image.thumbnail((PIXELS, PIXELS))
        file = BytesIO()
        image.save(file, "webp", quality=QUALITY, method=2)
        if file.tell() < len(content):
            kind, content = "image/webp", file.getvalue()
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
