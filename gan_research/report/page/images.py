"""The sample grids of a page: as many as there is space for, in a small format."""

import base64
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from gan_research.report.comparison import Comparison
from gan_research.report.records import Record

ROUNDS = 24
SEEDS = 5
MAX_IMAGES = 400
"""The maximum number of images of a page: encoding them takes time."""
PIXELS = 640
"""The maximum length of a side."""
QUALITY = 82

Key = tuple[int, int, int]
"""Column, run and round of an image."""


def sample_images(comparison: Comparison, space: int) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Return the block of the page (None without images), and id -> data URL in at most `space` bytes.

    Each group has a column, in which one of its runs (seeds) is selected. The first runs come first, and of the rounds
    the last, the first, then those between.
    """
    groups = [
        (i, name, [run for run in records if run.samples][:SEEDS])
        for i, (name, records) in enumerate(comparison.groups.items())
    ]
    groups = [group for group in groups if group[2]]
    columns = [runs for _, _, runs in groups]
    rounds = chosen_rounds(columns)
    urls: dict[Key, str] = {}
    cut = False
    for key in in_order(columns, rounds):
        column, run, round = key
        path = columns[column][run].samples.get(round)
        if (url := data_url(path) if path else None) is None:
            continue
        space -= len(url) + len(image_id(key)) + 8
        if cut := space < 0 or len(urls) == MAX_IMAGES:
            break
        urls[key] = url
    if not urls:
        return None, {}
    present = {(column, run) for column, run, _ in urls}
    return {
        "kind": "images",
        "rounds": [round for round in rounds if round in {round for _, _, round in urls}],
        "columns": [
            {"group": i, "name": name, "runs": [label_of(run) for n, run in enumerate(runs) if (column, n) in present]}
            for column, (i, name, runs) in enumerate(groups)
        ],
        "cut": cut,
    }, {image_id(key): url for key, url in urls.items()}


def image_id(key: Key) -> str:
    return "/".join(map(str, key))


def label_of(run: Record) -> str:
    return run.name if run.seed is None else f"seed {run.seed}"


def chosen_rounds(columns: list[list[Record]]) -> list[int]:
    """Return at most ROUNDS of the rounds that the first runs of all columns share, or else of all their rounds."""
    sets = [set(runs[0].samples) for runs in columns]
    if not sets:
        return []
    rounds = sorted(set.intersection(*sets) or set.union(*sets))
    n = min(len(rounds), ROUNDS)
    return [rounds[round(i * (len(rounds) - 1) / max(1, n - 1))] for i in range(n)]


def in_order(columns: list[list[Record]], rounds: list[int]) -> list[Key]:
    """Return (column, run, round), the most informative first."""
    order = halving(rounds)
    return [
        (column, run, round)
        for run in range(SEEDS)
        for round in order
        for column, runs in enumerate(columns)
        if run < len(runs)
    ]


def halving(rounds: list[int]) -> list[int]:
    """Return the last, the first, then the middle of each gap, gap by gap."""
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


def data_url(path: Path) -> str | None:
    """Return an image as a data URL; None if it can't be read (yet)."""
    try:
        status = path.stat()
        return encoded(path, status.st_mtime_ns, status.st_size)
    except (OSError, ValueError, SyntaxError):  # deleted, incomplete, or no image
        return None


@lru_cache(maxsize=2000)
def encoded(path: Path, changed: int, size: int) -> str:
    """Return the file as it is if it is small, otherwise as WebP."""
    from PIL import Image

    with Image.open(path, formats=("PNG", "JPEG", "WEBP")) as opened:
        if opened.width * opened.height > 64_000_000:
            raise ValueError(f"{path}: the image is too large")
        kind, content = f"image/{str(opened.format).lower()}", path.read_bytes()
        image = opened.convert("RGB")
    if max(image.size) > PIXELS or len(content) > 4000:
        image.thumbnail((PIXELS, PIXELS))
        file = BytesIO()
        image.save(file, "webp", quality=QUALITY, method=2)
        if file.tell() < len(content):
            kind, content = "image/webp", file.getvalue()
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
