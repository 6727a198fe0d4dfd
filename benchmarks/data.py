"""Images a second of a folder of JPEGs: streamed and cached, as ratios to a hand-written torchvision loader.

    python benchmarks/data.py [--images N] [--workers W] [--repeats R]

The loader by hand is torchvision's ImageFolder with the same crop and filter in a DataLoader of equal workers; its
pixels are equal, which is checked. Each repeat times the three in turn, after the first batch; a row is the median.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import center_crop

from gan_research.data import ImageFolder as Folder

BATCH, RESOLUTION = 64, 64


def write_images(folder: Path, count: int) -> None:
    """Write JPEGs of smooth noise, 320 x 256 pixels, in two class folders."""
    generator = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (64, 80, 3), np.uint8))
        place = folder / f"class{number * 2 // count}" / f"{number:06}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize((320, 256), Image.Resampling.BICUBIC).save(place, quality=90)


def by_hand(folder: Path, workers: int) -> DataLoader:
    """Return torchvision's loader of the central squares, resized by Lanczos' filter."""
    transform = transforms.Compose(
        [
            transforms.Lambda(square),
            transforms.Resize(RESOLUTION, InterpolationMode.LANCZOS),
            transforms.PILToTensor(),
        ]
    )
    images = ImageFolder(str(folder), transform)
    endless = RandomSampler(images, num_samples=1000 * len(images))  # as ours: workers aren't idle at the end
    return DataLoader(images, BATCH, sampler=endless, num_workers=workers)


def square(image: Image.Image) -> Image.Image:
    """Return the central square."""
    return center_crop(image, min(image.size))  # type: ignore[return-value]


def rate(batches: Iterable[Tensor], count: int) -> float:
    """Return the images a second of `count` batches after the first."""
    reader: Iterator[Tensor] = iter(batches)
    next(reader)
    start = time.perf_counter()
    images = sum(len(batch) for batch in islice(reader, count))
    return images / (time.perf_counter() - start)


def main() -> None:
    """Print the table of rates and ratios."""
    parser = argparse.ArgumentParser(description="images a second of a folder, relative to torchvision's loader")
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    count = options.images // BATCH - 1
    with tempfile.TemporaryDirectory() as place:
        os.environ["GAN_RESEARCH_CACHE"] = f"{place}/cache"
        folder = Path(place) / "images"
        write_images(folder, options.images)
        ours = {
            name: Folder(
                str(folder), RESOLUTION, resident=False, cache=name == "cached", num_workers=options.workers,
                batch_size=BATCH,
            )
            for name in ("streamed", "cached")
        }  # fmt: skip
        seconds = {}
        for name, data in (("first start", ours["cached"]), ("second start", None)):
            start = time.perf_counter()
            _ = (data or Folder(str(folder), RESOLUTION, resident=False, cache=True, batch_size=BATCH)).train
            seconds[name] = time.perf_counter() - start
        expected = torch.stack([image for image, _ in islice(by_hand(folder, 0).dataset, BATCH)])
        assert all(torch.equal(data.train.take(BATCH), expected) for data in ours.values())
        rates: dict[str, list[float]] = {"torchvision": [], "streamed": [], "cached": []}
        for _ in range(options.repeats):
            rates["torchvision"].append(rate((images for images, _ in by_hand(folder, options.workers)), count))
            for name, data in ours.items():
                rates[name].append(rate((batch.images for batch in data.rounds()), count))
    print(f"{options.images} JPEGs, {options.workers} workers    images/s  ratio")
    for name, found in rates.items():
        ratio = statistics.median(one / base for one, base in zip(found, rates["torchvision"], strict=True))
        print(f"{name:<28} {statistics.median(found):8.0f}  {ratio:5.2f}")
    print("; ".join(f"{name} with the cache: {value:.2f} s" for name, value in seconds.items()))


if __name__ == "__main__":
    main()
