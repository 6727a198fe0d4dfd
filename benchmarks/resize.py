"""The effect of Inception's resize and precision on the Fréchet distance, as a Markdown table.

    python benchmarks/resize.py --data data/cifar10/train.npz
    python benchmarks/resize.py --data data/cifar10/train.npz --weights data/inception/... --feature 768 --num 450

Every column compares the same two disjoint sets of real images, the second as it is, and distorted in three ways. The
data is an .npz whose "x" contains uint8 images, (N, H, W, 3).
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


def jpeg(image: Image.Image) -> Image.Image:
    """Compress and decompress an image as JPEG of quality 75."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=75)
    return Image.open(file)


def blurred(image: Image.Image) -> Image.Image:
    """Blur an image with a Gaussian of about 1 pixel."""
    return image.filter(ImageFilter.GaussianBlur(1))


def each(change: Callable[[Image.Image], Image.Image], images: np.ndarray) -> np.ndarray:
    """Apply a function to every image of (N, H, W, 3)."""
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def noisy(images: np.ndarray) -> np.ndarray:
    """Add Gaussian noise of 10 levels."""
    noise = np.random.default_rng(0).normal(0, 10, images.shape)
    return (images + noise).round().clip(0, 255).astype(np.uint8)


def batches(images: np.ndarray, size: int = 10) -> tuple[Tensor, ...]:
    """Split uint8 (N, H, W, 3) into batches (size, 3, H, W)."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).split(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="an .npz of images")
    parser.add_argument("--weights", help="of Inception; default: those in torch's hub cache")
    parser.add_argument("--feature", type=int, default=2048, help="the layer: 64, 192, 768 or 2048")
    parser.add_argument("--num", type=int, default=1000, help="images in each of the two sets")
    arguments = parser.parse_args()

    with np.load(arguments.data) as file:
        images = file["x"]
    chosen = np.random.default_rng(0).choice(len(images), 2 * arguments.num, replace=False)
    reference, other = images[chosen[: arguments.num]], images[chosen[arguments.num :]]
    rows = {
        "other real images": other,
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

    print(f"{fid.extractor.name}, {arguments.num} images against {arguments.num} of {arguments.data}\n")
    print("| | " + " | ".join(COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for row, values in table.items():
        print(f"| {row} | " + " | ".join(f"{value:#.4g}" for value in values) + " |")


if __name__ == "__main__":
    main()
