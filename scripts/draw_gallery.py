"""Draw docs/images/gallery.png: samples of each variant of a sweep, a row for each, with its FID.

gan train -m variants=losses_equal experiment=mnist_dcgan conditional=true "regularizer=[r1]" regularizer.r1.weight=1 \
    regularizer.r1.every=4 rounds=1000 evaluate_every=1000 output=runs/gallery
python scripts/draw_gallery.py runs/gallery/* docs/images/gallery.png
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import yaml
from torchvision.utils import make_grid

from gan_research import load
from gan_research.utils.run_folder import read_history

COLUMNS = 20


def last_fid(run: Path) -> float:
    """Return the FID of a run's last evaluation."""
    return [row["metrics/fid"] for row in read_history(run / "history.jsonl") if "metrics/fid" in row][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    runs = sorted(options.sweep.glob("*/*/*/config.yaml"))
    figure, axes = plt.subplots(len(runs), 1, figsize=(9, 0.46 * len(runs)), dpi=100)
    for axis, config in zip(axes, runs, strict=True):
        sampler = load(config.parent)
        samples = sampler.sample(COLUMNS, seed=0)
        axis.imshow(make_grid((samples + 1) / 2, nrow=COLUMNS, padding=1).permute(1, 2, 0))
        axis.axis("off")
        name = yaml.safe_load(config.read_text())["variant"].removeprefix("equal_").replace("_", " ")
        axis.text(
            -0.01,
            0.5,
            f"{name}\nFID {last_fid(config.parent):.3g}",
            transform=axis.transAxes,
            ha="right",
            va="center",
            fontsize=7,
        )
    figure.subplots_adjust(left=0.16, right=1, top=1, bottom=0, hspace=0.04)
    figure.savefig(options.output, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
