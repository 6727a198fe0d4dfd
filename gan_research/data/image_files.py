"""Image files: finding, checking and decoding them to uint8 arrays. One rule for training and evaluation."""

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from gan_research.utils.errors import UserError, one_line
from gan_research.utils.paths import refuse_archive
from gan_research.utils.run_folder import RUN

EXTENSIONS = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".jfif", ".jpe", ".jp2", ".j2k",
    ".jpx", ".mpo", ".apng", ".dib", ".pbm", ".pgm", ".ppm", ".pnm", ".pcx", ".qoi", ".sgi", ".tga",
)  # fmt: skip

CHANNELS = {"1": 1, "L": 1, "LA": 1, "I;16": 1, **dict.fromkeys(("P", "PA", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr"), 3)}
"""PIL's modes whose scale is known, and the channels of their images; a palette has colours."""

BACKGROUND = "white"

ROTATED = "rotated as EXIF specifies"
UPRIGHT = 1  # the orientation in EXIF of an image that isn't rotated

Shape = tuple[int, int, int]
Stored = Path | str | bytes | np.ndarray
"""A stored image: an image file, the content of one, or pixels uint8 (C, H, W)."""

S = TypeVar("S")
T = TypeVar("T")


class Facts(NamedTuple):
    """The content of an image file: PIL's mode, the shape (C, H, W) as stored, and what changes when it is read.

    peak: the largest level, of samples of 16 bits, which are read by their high 8.
    """

    mode: str
    shape: Shape
    changes: tuple[str, ...]
    peak: int | None = None


def opened(stored: Stored) -> Image.Image:
    """Open a stored image; the pixels of a file aren't read yet."""
    if isinstance(stored, np.ndarray):
        return Image.fromarray(stored[0] if len(stored) == 1 else np.ascontiguousarray(stored.transpose(1, 2, 0)))
    return Image.open(BytesIO(stored) if isinstance(stored, bytes) else stored)


def load(stored: Stored, channels: int | None = None) -> tuple[Image.Image, Facts]:
    """Return the first frame of an image, upright, grey (`channels` 1) or RGB (3; None: as stored), and its facts.

    Transparent images are composited on `BACKGROUND`, and 16 bits are read by their high 8. Raises a UserError if the
    scale of the samples isn't known.
    """
    with opened(stored) as file:
        deep = _is_deep(file)
        facts = _facts(file)
        image: Image.Image = file
        if file.format == "PNG" or ROTATED in facts.changes:  # else it would be copied only
            image = ImageOps.exif_transpose(file)
        image.load()
    if image.mode.startswith("I"):  # PIL's own conversion would clip to 255, not scale
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image.convert("RGBA"))
    if image.mode != (mode := "RGB" if (channels or facts.shape[0]) == 3 else "L"):
        image = image.convert(mode)
    shape = facts.shape[0], image.height, image.width
    return image, facts._replace(shape=shape, peak=int(np.asarray(image).max()) if deep else None)


def read_facts(stored: Stored) -> Facts:
    """Return the facts in the header of an image; its pixels are read only to find the peak of 16 bits."""
    with opened(stored) as file:
        if not _is_deep(file):
            return _facts(file)
    return load(stored)[1]


def _raw_mode(file: Image.Image) -> str:
    """Return PIL's name of the stored samples, such as "RGB;16B"; empty if the format has none."""
    tiles: Any = getattr(file, "tile", None)
    args = tiles[0].args if tiles else ""
    raw = args[0] if isinstance(args, tuple) and args else args
    return raw if isinstance(raw, str) else ""


def _is_deep(file: Image.Image) -> bool:
    return file.mode.startswith("I") or ";16" in _raw_mode(file)


def _facts(file: Image.Image) -> Facts:
    raw, changes = _raw_mode(file), []
    mode = "I;16" if file.mode.startswith("I;16") or (file.mode == "I" and file.format in ("PNG", "PPM")) else file.mode
    if mode not in CHANNELS:
        raise UserError(f"is of mode {mode}, whose scale isn't known: convert such images to 8 or 16 bits, grey or RGB")
    if file.has_transparency_data:
        if mode in ("L", "RGB", "I;16") and raw not in ("", mode):  # PIL compares it with the scaled samples
            raise UserError(f"has a transparent colour of samples {raw}: convert such images to 8 bits")
        changes.append(f"with transparency, composited on {BACKGROUND}")
    if getattr(file, "is_animated", False):
        changes.append("animated, the first frame is taken")
    known = file.format != "PNG" or "exif" in file.info  # else PIL would decode the pixels to look for it
    if known and file.getexif().get(ExifTags.Base.Orientation, UPRIGHT) != UPRIGHT:
        changes.append(ROTATED)
    return Facts(mode, (CHANNELS[mode], file.height, file.width), tuple(changes))


@dataclass(frozen=True)
class Decoder:
    """Image -> uint8 (channels, resolution, resolution): the central square, resized, as StyleGAN's dataset_tool does.

    The square has `crop` pixels a side, or those of the shorter side; the filter is Lanczos, antialiased.
    """

    resolution: int
    channels: int
    crop: int | None = None

    @property
    def shape(self) -> Shape:
        return self.channels, self.resolution, self.resolution

    def read(self, stored: Stored) -> tuple[np.ndarray, Facts]:
        """Return the decoded image, and its facts as it is stored."""
        image, facts = load(stored, self.channels)
        return _channels_first(self.fit(image)), facts

    def fit(self, image: Image.Image) -> Image.Image:
        """Crop and resize an image to the resolution."""
        side = min(*image.size, self.crop or image.width)
        return _resized(_central(image, side, side), (self.resolution, self.resolution))


class ADMDecoder(Decoder):
    """The recipe of ADM (Dhariwal and Nichol 2021), also of EDM: halve by boxes, resize bicubically, crop.

    The image is halved while its shorter side has at least twice the resolution; then that side gets the resolution.
    """

    def fit(self, image: Image.Image) -> Image.Image:
        while min(image.size) >= 2 * self.resolution:
            image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
        scale = self.resolution / min(image.size)
        size = round(image.width * scale), round(image.height * scale)
        return _central(image.resize(size, Image.Resampling.BICUBIC), self.resolution, self.resolution)


class LSUNWideDecoder(Decoder):
    """The recipe of StyleGAN for LSUN's cars ("center-crop-wide"): an image of 4:3 between black bars.

    For a resolution R, as many central rows as a width of R would have in the image's proportions are resized to
    R x 3R/4: exact for images R wide, stretched for wider ones. Smaller images can't be used.
    """

    def fit(self, image: Image.Image) -> Image.Image:
        width, height = self.resolution, self.resolution * 3 // 4
        rows = round(width * image.height / image.width)
        if image.width < width or rows < height:
            raise ValueError(f"{image.width} x {image.height} pixels are too few for lsun_wide at {width}")
        canvas = Image.new(image.mode, (width, width))
        canvas.paste(_resized(_central(image, image.width, rows), (width, height)), (0, (width - height) // 2))
        return canvas


RECIPES: dict[str, type[Decoder]] = {
    "stylegan_center_crop": Decoder,
    "adm": ADMDecoder,
    "lsun_wide": LSUNWideDecoder,
}
"""The recipes of cropping and resizing by name. FIDs of different recipes can't be compared."""


def _central(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height)) if (width, height) != image.size else image


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.LANCZOS) if size != image.size else image


@dataclass(frozen=True)
class AsItIs:
    """Image -> uint8 (C, H, W) of this shape: neither cropped nor resized; of other images, their own shape."""

    shape: Shape

    def read(self, stored: Stored) -> tuple[np.ndarray, Facts]:
        """Return the decoded image, and its facts as it is stored."""
        image, facts = load(stored)
        return _channels_first(image), facts


ImageDecoder = Decoder | AsItIs
"""Image -> uint8 (C, H, W), each of one `shape`. Its repr is part of the content hash of a `FileSet`."""


def _channels_first(image: Image.Image) -> np.ndarray:
    pixels = np.array(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def find_images(root: Path, remedy: str = "set data.root to a folder of images") -> tuple[list[str], Counter[str]]:
    """Return the images below `root`, at any depth, as sorted relative POSIX paths; and what is left out, counted.

    A file with several paths, by links, is one image, and its path without links is taken. Hidden files and folders,
    and folders of runs, are left out.
    """
    refuse_archive(root, remedy)
    if not root.is_dir():
        raise UserError(f"no folder {root.absolute()}: {remedy}")
    found: list[tuple[bool, str, Any]] = []  # linked, name, identity
    left_out: Counter[str] = Counter()
    folders, links, visited = deque([root]), deque[Path](), set()  # links are followed after all folders
    while folders or links:
        linked = not folders
        folder = (folders or links).popleft()
        if (identity := _identity(folder)) in visited:
            left_out["folders repeated by links"] += 1
            continue
        visited.add(identity)
        if (folder / RUN).is_file():
            left_out["folders of runs"] += 1
            continue
        for entry in os.scandir(folder):
            path, ending = Path(entry.path), os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                left_out["hidden"] += 1
            elif entry.is_dir():
                (links if linked or entry.is_symlink() else folders).append(path)
            elif ending not in EXTENSIONS or not (entry.is_file() or entry.is_symlink()):
                left_out[ending or "without an ending"] += 1
            else:
                found.append((linked or entry.is_symlink(), path.relative_to(root).as_posix(), _identity(path)))
    names: dict[Any, str] = {}
    for _, name, identity in sorted(found, key=lambda image: image[:2]):
        names.setdefault(identity, name)
    if len(found) > len(names):
        left_out["images repeated by links"] = len(found) - len(names)
    if not names:
        has = f"; it has {counted(left_out)}" if left_out else ""
        raise UserError(f"no images in {root.absolute()} or below (looked for {' '.join(EXTENSIONS)}{has}): {remedy}")
    return sorted(names.values()), left_out


def _identity(path: Path) -> Any:
    """Return the device and number of a file or folder, equal for all its paths; the path of a broken link."""
    try:
        stat = path.stat()
    except OSError:
        return path
    return stat.st_dev, stat.st_ino


def attempt(read: Callable[[S], T], items: Iterable[S]) -> list[T | Exception]:
    """Return read(item) of each item, computed on all cores, or its error."""

    def outcome(item: S) -> T | Exception:
        try:
            return read(item)
        except Exception as error:  # a decoder can raise anything for a damaged file
            return error.with_traceback(None)  # its frames hold images

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(outcome, items))


def reason(error: Exception, path: Path | str) -> str:
    """Return the reason for which a file can't be read, without its path or address."""
    return shorten(re.sub(r" <_io\.BytesIO .*?>", "", one_line(error).replace(f" {str(path)!r}", "")), 150)


def refuse(
    place: str | Path,
    names: Sequence[str],
    facts: Sequence[Facts | Exception],
    skip: bool,
    way: str = "set data.skip_corrupt=true",
) -> Tensor:
    """Return a mask (N,) of the images in `place` that can be read; a UserError if any can't.

    skip: a UserError only if none can. way: how to skip. Images whose samples can't be scaled are sound, and refused
    in any case.
    """
    bad = [(name, error) for name, error in zip(names, facts, strict=True) if isinstance(error, Exception)]
    if unfit := [(name, error) for name, error in bad if isinstance(error, UserError)]:
        raise UserError(f"{len(unfit)} of {len(names)} images can't be used: {place}/{unfit[0][0]} {unfit[0][1]}")
    if bad and not (skip and len(bad) < len(names)):
        listed = ", ".join(f"{name} ({reason(error, f'{place}/{name}')})" for name, error in bad[:3])
        remedy = "remove them" if skip else f"remove them or {way}"
        raise UserError(
            f"{len(bad)} of {len(names)} images cannot be read: {listed}{', ...' if len(bad) > 3 else ''}: {remedy}"
        )
    return torch.tensor([isinstance(one, Facts) for one in facts], dtype=torch.bool)


def refuse_other_shapes(
    place: str | Path, names: Sequence[str], facts: Sequence[Facts | Exception], way: str = "give"
) -> None:
    """Raise a UserError unless the images in `place` have one shape. way: how to get such images."""
    shapes = {name: one.shape for name, one in zip(names, facts, strict=True) if isinstance(one, Facts)}
    ((common, _),) = Counter(shapes.values()).most_common(1)
    if odd := [name for name, shape in shapes.items() if shape != common]:
        raise UserError(
            f"{len(odd)} of {len(shapes)} images are not {_format_shape(common)} pixels as the others are: "
            f"{place}/{odd[0]} is {_format_shape(shapes[odd[0]])}: {way} images of one size, all grey or all in colour"
        )


def _format_shape(shape: Shape) -> str:
    """Return "colour of WIDTH x HEIGHT" or "grey of WIDTH x HEIGHT" for (C, H, W)."""
    channels, height, width = shape
    return f"{'grey' if channels == 1 else 'colour'} of {width} x {height}"


def counted(kinds: Counter[str]) -> str:
    """Return "3 .txt, 1 hidden": the most frequent first."""
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())


def describe_files(results: Sequence[Facts | Exception], left_out: Counter[str]) -> str:
    """Return a line on the image files of a set: number, sizes, modes, changes, and what is left out."""
    facts = [one for one in results if isinstance(one, Facts)]
    sizes = sorted({one.shape[:0:-1] for one in facts}, key=lambda size: (size[0] * size[1], size))
    modes = Counter(one.mode for one in facts)
    span = " to ".join(f"{width} x {height}" for width, height in dict.fromkeys([sizes[0], sizes[-1]]))
    parts = [f"{len(facts):,} image files of {span}" + (f" ({len(sizes)} sizes)" if len(sizes) > 2 else "")]
    parts += [counted(modes), *filter(None, [counted(Counter(change for one in facts for change in one.changes))])]
    if peaks := [one.peak for one in facts if one.peak is not None]:
        dark = ", as of 12 bits or fewer in 16" if max(peaks) < 16 else ""
        parts.append(f"{len(peaks):,} of 16 bits a sample, by their high 8: the largest level is {max(peaks)}{dark}")
    unread = Counter({"unreadable": len(results) - len(facts)} if len(facts) < len(results) else {})
    if left_out or unread:
        parts.append(f"left out: {counted(unread + left_out)}")
    return "; ".join(parts)
