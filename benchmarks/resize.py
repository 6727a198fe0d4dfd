"""What the resize and the precision of Inception do to the Fréchet distance: a Markdown table.

    python benchmarks/resize.py --data data/cifar10/train.npz
    python benchmarks/resize.py --data data/cifar10/train.npz --weights data/inception/... --feature 768 --num 450

Every column compares the same two disjoint sets of real pictures, the second as it is, and spoilt in three ways. The
data is an .npz whose "x" holds uint8 pictures, (N, H, W, 3).
"""

import argparse
import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from gan_research.metrics import FID, Inception

COLUMNS = {
    "tf1": {"resize": "tf1"},
    "clean": {"resize": "clean"},
    "torchmetrics": {"resize": "torchmetrics"},
    "tf1, bfloat16": {"resize": "tf1", "precision": "bfloat16"},
}


def jpeg(picture: Image.Image) -> Image.Image:
    """As JPEG of quality 75 has it."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    return Image.open(file)


def blurred(picture: Image.Image) -> Image.Image:
    """Convolved with a Gaussian of about 1 pixel."""
    return picture.filter(ImageFilter.GaussianBlur(1))


def each(change: Callable[[Image.Image], Image.Image], pictures: np.ndarray) -> np.ndarray:
    """Every picture (N, H, W, 3) changed by itself."""
    return np.stack([np.asarray(change(Image.fromarray(picture))) for picture in pictures])


def noisy(pictures: np.ndarray) -> np.ndarray:
    """With Gaussian noise of 10 levels."""
    noise = np.random.default_rng(0).normal(0, 10, pictures.shape)
    return (pictures + noise).round().clip(0, 255).astype(np.uint8)


def batches(pictures: np.ndarray, size: int = 10) -> tuple[Tensor, ...]:
    """uint8 (N, H, W, 3) -> some (size, 3, H, W)."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).split(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="an .npz of pictures")
    parser.add_argument("--weights", help="of Inception; default: those in torch's hub cache")
    parser.add_argument("--feature", type=int, default=2048, help="the layer: 64, 192, 768 or 2048")
    parser.add_argument("--num", type=int, default=1000, help="pictures in each of the two sets")
    arguments = parser.parse_args()

    with np.load(arguments.data) as file:
        pictures = file["x"]
    chosen = np.random.default_rng(0).choice(len(pictures), 2 * arguments.num, replace=False)
    reference, other = pictures[chosen[: arguments.num]], pictures[chosen[arguments.num :]]
    rows = {
        "other real pictures": other,
        "these as JPEG of quality 75": each(jpeg, other),
        "these blurred by 1 pixel": each(blurred, other),
        "these with noise of 10 levels": noisy(other),
    }
    table: dict[str, list[float]] = {row: [] for row in rows}
    for settings in COLUMNS.values():
        fid = FID(Inception(arguments.feature, arguments.weights, **settings))
        for batch in batches(reference):
            fid.update(batch, of="train")
        for row, generated in rows.items():
            for batch in batches(generated):
                fid.update(batch)
            table[row] += fid.compute().values()
            fid.reset()

    print(f"{fid.extractor.name}, {arguments.num} pictures against {arguments.num} of {arguments.data}\n")
    print("| | " + " | ".join(COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for row, values in table.items():
        print(f"| {row} | " + " | ".join(f"{value:#.4g}" for value in values) + " |")


if __name__ == "__main__":
    main()
