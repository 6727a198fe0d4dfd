"""Runs to make pages of."""

import io
import json
from dataclasses import replace

import numpy as np
import torch
from made import make_run
from PIL import Image

from gan_research.report.comparison import compare
from gan_research.report.read import read
from gan_research.report.records import Record
from gan_research.utils.images import grid, png

HOSTILE = "<img src=x onerror=alert(1)></script><!--<script>"
FIDS = {"hinge": 3.0, "minimax": 9.0, HOSTILE: 5.0}


def sample_grid(shade, size=16):
    """A PNG's content."""
    file = io.BytesIO()
    Image.new("RGB", (size, size), (shade, 128, 255 - shade)).save(file, "png")
    return file.getvalue()


def make_runs(root):
    """hinge: 3 seeds, two learning rates, and one that crashed; minimax: 3 seeds; one of a hostile name: 1 seed."""
    for loss, last in FIDS.items():
        for seed in range(1 if loss == HOSTILE else 3):
            index = len(list(root.glob("*")))
            run = make_run(
                root / f"{index}",
                loss=loss,
                seed=seed,
                fid=(80.0, 20.0, 10.0, last + seed),
                extra={"inception_score": (1.0, 4.0, 6.0, 10 - last / 2 - seed / 10)},
                lr=0.001 if seed < 2 or loss != "hinge" else 0.01,
                name=f"{loss}-s{seed}",
            )
            for path in sorted((run / "samples").iterdir()):
                path.write_bytes(sample_grid(int(path.stem[6:]) // 2 + seed))
    crashed = make_run(
        root / "crashed", loss="hinge", seed=7, fid=(80.0, 20.0), rounds=300, name="crashed", samples=False
    )
    (crashed / "crash").mkdir()
    error = {"error": "<b>loss/generator</b> isn't finite in round 113"}
    (crashed / "crash" / "round_113.json").write_text(json.dumps(error))
    return root


def comparison_of(root, **choices):
    records, notes = read([root])
    return compare(records, notes=notes, command=f"gan compare {root.name} --by loss", **choices)


def records_of(values, samples=None, collapsed=(), **settings):
    """Finished runs, made up: group -> the FID of each seed. samples: a grid of each. collapsed: their names."""
    records = []
    for group, fids in values.items():
        for seed, fid in enumerate(fids):
            name, log = f"{group}-s{seed}", {"round": 100, "kimg": 6.4, "speed/seconds": 2.0}
            rows = [{"round": 0, "kimg": 0.0, "metrics/fid": 80.0}, log | {"health/collapse": int(name in collapsed)}]
            rows.append({"round": 100, "kimg": 6.4, "metrics/fid": fid})
            rows = [row | ({"protocol": {}, "better": {"fid": "min"}} if "metrics/fid" in row else {}) for row in rows]
            config = {"rounds": 100, "width": group, **settings}
            run = Record(name, name, f"runs/{name}", config, {"loss": group}, seed, "gan train", "finished", rows=rows)
            records.append(replace(run, samples={100: samples} if samples else {}))
    return records


def many_groups(folder):
    """A comparison of seven groups of three seeds, in which one run has collapsed and all have a grid of 64 images."""
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (folder / "grid.png").write_bytes(png(grid(images)))
    values = {f"loss_{i}": [70 - 10 * i + seed * (1 + i % 3) for seed in range(3)] for i in range(7)}
    return compare(records_of(values, folder / "grid.png", ["loss_3-s1"]), command="gan compare runs")


def noise(path, size, seed=0):
    """A PNG that no format makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
