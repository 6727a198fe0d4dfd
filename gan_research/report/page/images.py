"""The sample grids of a page: as many as there is space for, in a small format."""

import base64
from functools import lru_cache
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from gan_research.report.comparison import Comparison
from gan_research.report.page.figures import thinned
from gan_research.report.records import Record

ROUNDS = 24
SEEDS = 5
MAX_IMAGES = 400  # the maximum number of images of a page: encoding them takes time
PIXELS = 640  # the maximum length of a side
QUALITY = 82
GREY = 128  # the value of the lines between a grid's cells, as `utils.images.grid` draws them


def sample_images(comparison: Comparison, space: int) -> tuple[dict[str, Any] | None, dict[str, str]]:
    """Return the page's block, and id -> data URL in at most `space` bytes.

    Each group has a column, in which one of its runs (seeds) is selected. The first runs come first, and of the rounds
    the last, the first, then those between.
    """
    sampled = {name: [run for run in records if run.samples][:SEEDS] for name, records in comparison.groups.items()}
    groups = [(i, name, runs) for i, (name, runs) in enumerate(sampled.items()) if runs]
    rounds = chosen_rounds([runs for _, _, runs in groups])
    urls: dict[str, str] = {}
    cut = False
    for n, round, (column, (_, _, runs)) in product(range(SEEDS), halving(rounds), enumerate(groups)):
        path = runs[n].samples.get(round) if n < len(runs) else None
        if (url := data_url(path) if path else None) is None:
            continue
        id = f"{column}/{n}/{round}"
        space -= len(url) + len(id) + 8
        if cut := space < 0 or len(urls) == MAX_IMAGES:
            break
        urls[id] = url
    if not urls:
        return None, {}
    present = {part for id in urls for part in id.rpartition("/")[::2]}  # "column/run", "round"
    columns = []
    for column, (i, name, runs) in enumerate(groups):
        listed = [run for n, run in enumerate(runs) if f"{column}/{n}" in present]
        labels = [run_label(run, comparison) for run in listed]
        last = next((run.samples[round] for run in listed for round in rounds[::-1] if round in run.samples), None)
        columns.append({"group": i, "name": name, "runs": labels, "cells": cells_across(last) if last else 0})
    rounds = [round for round in rounds if str(round) in present]
    return {"kind": "images", "rounds": rounds, "columns": columns, "cut": cut}, urls


def run_label(run: Record, comparison: Comparison) -> str:
    """Return a run's seed, or else its name, and its warnings."""
    return ", ".join([run.name if run.seed is None else f"seed {run.seed}", *comparison.warnings.get(run.id, [])])


def chosen_rounds(columns: list[list[Record]]) -> list[int]:
    """Return at most ROUNDS rounds, those that the first runs share if possible."""
    sets = [set(runs[0].samples) for runs in columns]
    return thinned(sorted(set.intersection(*sets) or set.union(*sets)), most=ROUNDS)[0] if sets else []


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
    except Exception:  # deleted, incomplete, too large, or no image
        return None


def cells_across(path: Path) -> int:
    """Return the number of cells in a row of a grid of images; 0 for other images, such as plots of points."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB"))
    except Exception:  # deleted, incomplete, or no image
        return 0
    lines = np.pad((pixels == GREY).all(axis=(0, 2)), 1).astype(int)  # whole columns of pixels between cells
    starts = np.flatnonzero(np.diff(lines) == 1)
    widths = np.diff(starts)
    return len(widths) if len(widths) and starts[0] == 0 and (widths == widths[0]).all() else 0


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
