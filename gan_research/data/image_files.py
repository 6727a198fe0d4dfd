"""Image files: finding, checking and decoding them to uint8 arrays."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_research.utils.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

CHANNELS = {"1": 1, "L": 1, "P": 3, "RGB": 3}
"""PIL's modes of 8-bit grey or colour images, and their channels; a palette has colours."""

Shape = tuple[int, int, int]
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Decoder:
    """File -> uint8 (channels, resolution, resolution): the central square, resized.

    The square has `crop` pixels a side, or those of the shorter side; the filter is Lanczos, antialiased.
    """

    resolution: int
    channels: int
    crop: int | None = None

    @property
    def shape(self) -> Shape:
        return self.channels, self.resolution, self.resolution

    def __call__(self, path: Path | str) -> np.ndarray:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits a pixel: PIL's own conversion would clip to 255, not scale
                image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
            image = image.convert("RGB" if self.channels == 3 else "L")
        width, height = image.size
        side = min(width, height, self.crop or width)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if side != self.resolution:
            image = image.resize((self.resolution, self.resolution), Image.Resampling.LANCZOS)
        return _channels_first(image)


@dataclass(frozen=True)
class AsItIs:
    """File -> uint8 (C, H, W), as the pixels are stored: not cropped, resized or rotated."""

    shape: Shape

    def __call__(self, path: Path | str) -> np.ndarray:
        with Image.open(path) as image:
            return _channels_first(image.convert("L" if self.shape[0] == 1 else "RGB"))


ImageDecoder = Decoder | AsItIs
"""File -> uint8 (C, H, W), each of one `shape`. Its repr is part of the content hash of a `FileSet`."""


def _channels_first(image: Image.Image) -> np.ndarray:
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def find_images(root: Path, remedy: str = "set data.root to a folder of images") -> list[str]:
    """Return the images below `root`, at any depth: sorted relative POSIX paths; hidden ones are skipped."""
    if not root.is_dir():
        raise UserError(f"no folder {root.absolute()}: {remedy}")
    names = []
    for folder, subfolders, files in os.walk(root, followlinks=True):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        images = [name for name in files if name.lower().endswith(EXTENSIONS) and not name.startswith(".")]
        names += [(Path(folder).relative_to(root) / name).as_posix() for name in images]
    if not names:
        raise UserError(f"no images in {root.absolute()} or below (looked for {' '.join(EXTENSIONS)}): {remedy}")
    return sorted(names)


def decode_all(paths: Sequence[Path], decoder: ImageDecoder) -> tuple[Tensor, Tensor]:
    """Decode all images on all cores: uint8 (N, C, H, W), and a mask (N,) of those that could be read."""
    images = torch.zeros(len(paths), *decoder.shape, dtype=torch.uint8)
    pixels = images.numpy()

    def decode(number: int) -> None:
        pixels[number] = decoder(paths[number])

    return images, readable(range(len(paths)), decode)


def read_header(path: Path) -> None:
    """Read the header of an image file, without its pixels."""
    Image.open(path).close()


def readable(items: Iterable[Any], read: Callable[[Any], Any] = read_header) -> Tensor:
    """Return a mask (N,) of the items for which `read` raises no exception."""

    def succeed(item: Any) -> bool:
        read(item)
        return True

    return torch.tensor([bool(success) for success in _attempt(succeed, items)], dtype=torch.bool)


def common_shape(paths: Sequence[Path]) -> Shape | None:
    """Return the shape (C, H, W) of all images, or None if no header can be read.

    Raises a UserError if they differ, or aren't plain grey or colour. Unreadable headers are left out.
    """

    def read(path: Path) -> tuple[str, Shape | None]:
        with Image.open(path) as image:
            mode = image.mode + (" with transparency" if image.has_transparency_data else "")
            return mode, (CHANNELS[mode], image.height, image.width) if mode in CHANNELS else None

    headers = {path: header for path, header in zip(paths, _attempt(read, paths), strict=True) if header}
    if odd := [path for path, (_, shape) in headers.items() if shape is None]:
        raise UserError(
            f"{len(odd)} of {len(headers)} images have transparency, or aren't 8-bit grey or RGB: {odd[0]} is "
            f"{headers[odd[0]][0]}: convert them to RGB, or to grey"
        )
    shapes = {path: shape for path, (_, shape) in headers.items() if shape is not None}
    if not shapes:
        return None
    ((common, _),) = Counter(shapes.values()).most_common(1)
    if odd := [path for path, shape in shapes.items() if shape != common]:
        raise UserError(
            f"{len(odd)} of {len(headers)} images are not {_format_shape(common)} pixels as the others are: {odd[0]} "
            f"is {_format_shape(shapes[odd[0]])}: give images of one size, all grey or all in colour"
        )
    return common


def _format_shape(shape: Shape) -> str:
    """Return "colour of WIDTH x HEIGHT" or "grey of WIDTH x HEIGHT" for (C, H, W)."""
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} of {width} x {height}"


def _attempt(read: Callable[[S], T], items: Iterable[S]) -> list[T | None]:
    """Return read(item) of each item, computed on all cores; None where it fails."""

    def attempt(item: S) -> T | None:
        try:
            return read(item)
        except Exception:  # a decoder can raise anything for a damaged file
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(attempt, items))


def refuse_corrupt(names: Sequence[str], good: Tensor, skip: bool, way: str = "set data.skip_corrupt=true") -> None:
    """Raise a UserError if images can't be read; with `skip` only if none can (`way`: how to skip)."""
    bad = (~good).nonzero().flatten().tolist()
    if not bad or (skip and len(bad) < len(names)):
        return
    listed = ", ".join(names[i] for i in bad[:3]) + (", ..." if len(bad) > 3 else "")
    remedy = "remove them" if skip else f"remove them or {way}"
    raise UserError(f"{len(bad)} of {len(names)} images cannot be read: {listed}: {remedy}")
