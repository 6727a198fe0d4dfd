"""Runs to make pages of."""

import io
import json

import numpy as np
from made import make_run
from PIL import Image

from gan_research.report.comparison import compare
from gan_research.report.read import read

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


def noise(path, size, seed=0):
    """A PNG that no format makes small."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path
