"""Picture files: find them, check them, decode them to square uint8 arrays."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_research.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Decoder:
    """File -> uint8 (channels, resolution, resolution): the central square (of `crop` pixels, or the whole shorter
    side), resized with an antialiased Lanczos filter."""

    resolution: int
    channels: int
    crop: int | None = None

    def __call__(self, path: Path | str) -> np.ndarray:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16 bits a pixel: PIL's own conversion would clip to 255, not scale
                image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            image = image.convert("RGB" if self.channels == 3 else "L")
        width, height = image.size
        side = min(width, height, self.crop or width)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if side != self.resolution:
            image = image.resize((self.resolution, self.resolution), Image.Resampling.LANCZOS)
        pixels = np.array(image)
        return pixels[None] if self.channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def find_pictures(root: Path) -> list[str]:
    """The pictures below `root`, at any depth: sorted relative paths with forward slashes, hidden ones left out."""
    if not root.is_dir():
        raise UserError(f"no folder {root.absolute()}: set data.root to a folder of pictures")
    names = []
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        place = Path(folder).relative_to(root)
        names += [
            (place / name).as_posix()
            for name in files
            if name.lower().endswith(EXTENSIONS) and not name.startswith(".")
        ]
    if not names:
        raise UserError(
            f"no pictures in {root.absolute()} or below (looked for {' '.join(EXTENSIONS)}): "
            "set data.root to a folder of pictures"
        )
    return sorted(names)


def decode_all(paths: Sequence[Path], decoder: Decoder) -> tuple[Tensor, Tensor]:
    """All pictures, decoded on all cores: uint8 (N, C, H, W), and a mask (N,) of those that could be read."""
    shape = (len(paths), decoder.channels, decoder.resolution, decoder.resolution)
    images = torch.zeros(shape, dtype=torch.uint8)
    pixels = images.numpy()

    def read(number: int) -> bool:
        pixels[number] = decoder(paths[number])
        return True

    return images, _attempt(read, len(paths))


def check_headers(paths: Sequence[Path]) -> Tensor:
    """A mask (N,) of the pictures whose header can be read; their pixels are not looked at."""

    def read(number: int) -> bool:
        with Image.open(paths[number]):
            return True

    return _attempt(read, len(paths))


def _attempt(read: Callable[[int], bool], count: int) -> Tensor:
    def succeeds(number: int) -> bool:
        try:
            return read(number)
        except Exception:  # a damaged file can raise anything from within a decoder
            return False

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return torch.tensor(list(pool.map(succeeds, range(count))), dtype=torch.bool)


def refuse_corrupt(names: Sequence[str], good: Tensor, skip: bool) -> None:
    """Raise `UserError` where pictures cannot be read; with `skip` only where none can."""
    bad = (~good).nonzero().flatten().tolist()
    if not bad or (skip and len(bad) < len(names)):
        return
    listed = ", ".join(names[i] for i in bad[:3]) + (", ..." if len(bad) > 3 else "")
    remedy = "remove them" if skip else "remove them or set data.skip_corrupt=true"
    raise UserError(f"{len(bad)} of {len(names)} pictures cannot be read: {listed}: {remedy}")
