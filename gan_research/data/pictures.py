"""Picture files: find them, check them, decode them to uint8 arrays."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from gan_research.utils.errors import UserError

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

Shape = tuple[int, int, int]
T = TypeVar("T")


class PictureDecoder(Protocol):
    """File -> uint8 (C, H, W), each of one `shape`."""

    @property
    def shape(self) -> Shape: ...

    def __call__(self, path: Path | str) -> np.ndarray: ...


@dataclass(frozen=True)
class Decoder:
    """File -> uint8 (channels, resolution, resolution): the central square (of `crop` pixels, or the whole shorter
    side), resized with an antialiased Lanczos filter."""

    resolution: int
    channels: int
    crop: int | None = None

    @property
    def shape(self) -> Shape:
        return self.channels, self.resolution, self.resolution

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
        return _planes(image)


@dataclass(frozen=True)
class AsItIs:
    """File -> uint8 (C, H, W), as the pixels are stored: nothing is cropped, resized or turned."""

    shape: Shape

    def __call__(self, path: Path | str) -> np.ndarray:
        with Image.open(path) as image:
            return _planes(image.convert("L" if self.shape[0] == 1 else "RGB"))


def _planes(image: Image.Image) -> np.ndarray:
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def find_pictures(root: Path, remedy: str = "set data.root to a folder of pictures") -> list[str]:
    """The pictures below `root`, at any depth: sorted relative paths with forward slashes, hidden ones left out."""
    if not root.is_dir():
        raise UserError(f"no folder {root.absolute()}: {remedy}")
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
        raise UserError(f"no pictures in {root.absolute()} or below (looked for {' '.join(EXTENSIONS)}): {remedy}")
    return sorted(names)


def decode_all(paths: Sequence[Path], decoder: PictureDecoder) -> tuple[Tensor, Tensor]:
    """All pictures, decoded on all cores: uint8 (N, C, H, W), and a mask (N,) of those that could be read."""
    images = torch.zeros(len(paths), *decoder.shape, dtype=torch.uint8)
    pixels = images.numpy()

    def read(number: int) -> bool:
        pixels[number] = decoder(paths[number])
        return True

    return images, _succeeded(read, len(paths))


def check_pictures(paths: Sequence[Path], decoder: PictureDecoder) -> Tensor:
    """A mask (N,) of the pictures that can be read whole; what was read is not kept."""
    return _succeeded(lambda number: decoder(paths[number]) is not None, len(paths))


def check_headers(paths: Sequence[Path]) -> Tensor:
    """A mask (N,) of the pictures whose header can be read; their pixels are not looked at."""

    def read(number: int) -> bool:
        with Image.open(paths[number]):
            return True

    return _succeeded(read, len(paths))


CHANNELS = {"1": 1, "L": 1, "P": 3, "RGB": 3}
"""The modes of plain pictures, 8 bits of grey or colour; a palette is one of colours."""


class Header(NamedTuple):
    """What a picture file says of itself."""

    mode: str
    transparent: bool
    size: tuple[int, int]

    @property
    def shape(self) -> Shape:
        """(C, H, W) of a plain picture."""
        return CHANNELS[self.mode], self.size[1], self.size[0]


def common_shape(paths: Sequence[Path]) -> Shape | None:
    """(C, H, W) of all these pictures, by their headers; `UserError` where they differ, or aren't plain grey or colour.

    Those whose header can't be read are left out; None: there is no other.
    """

    def read(number: int) -> Header:
        with Image.open(paths[number]) as image:
            return Header(image.mode, image.has_transparency_data, image.size)

    headers = {path: h for path, h in zip(paths, _attempt(read, len(paths)), strict=True) if h is not None}
    if odd := [path for path, header in headers.items() if header.transparent or header.mode not in CHANNELS]:
        how = headers[odd[0]].mode + (" with transparency" if headers[odd[0]].transparent else "")
        raise UserError(
            f"{len(odd)} of {len(headers)} pictures have transparency, or aren't 8-bit grey or RGB: {odd[0]} is {how}: "
            "convert them to RGB, or to grey"
        )
    shapes = Counter(header.shape for header in headers.values())
    if not shapes:
        return None
    most = max(shapes, key=lambda shape: shapes[shape])
    if odd := [path for path, header in headers.items() if header.shape != most]:
        raise UserError(
            f"{len(odd)} of {len(headers)} pictures are not {_words(most)} pixels as the others are: {odd[0]} is "
            f"{_words(headers[odd[0]].shape)}: give pictures of one size, all grey or all in colour"
        )
    return most


def _words(shape: Shape) -> str:
    """(3, 8, 9) -> colour of 9 x 8, which is width x height"""
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} of {width} x {height}"


def _attempt(read: Callable[[int], T], count: int) -> list[T | None]:
    """read(0), ..., read(count - 1) on all cores; None where it fails."""

    def attempt(number: int) -> T | None:
        try:
            return read(number)
        except Exception:  # a damaged file can raise anything from within a decoder
            return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(attempt, range(count)))


def _succeeded(read: Callable[[int], bool], count: int) -> Tensor:
    return torch.tensor([bool(done) for done in _attempt(read, count)], dtype=torch.bool)


def refuse_corrupt(names: Sequence[str], good: Tensor, skip: bool, way: str = "set data.skip_corrupt=true") -> None:
    """Raise `UserError` where pictures cannot be read; with `skip` only where none can. `way`: how to ask for that."""
    bad = (~good).nonzero().flatten().tolist()
    if not bad or (skip and len(bad) < len(names)):
        return
    listed = ", ".join(names[i] for i in bad[:3]) + (", ..." if len(bad) > 3 else "")
    remedy = "remove them" if skip else f"remove them or {way}"
    raise UserError(f"{len(bad)} of {len(names)} pictures cannot be read: {listed}: {remedy}")
