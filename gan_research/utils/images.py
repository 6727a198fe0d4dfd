"""Images as floats for the networks, as bytes and as PNGs."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

SMALLEST = 32  # the pixels a side below which images are enlarged in a grid

FILMS: dict[str, dict[str, Any]] = {
    "gif": {"format": "gif"},
    "apng": {"format": "png"},
    "webp": {"format": "webp", "lossless": True},
}
"""Pillow's settings of each kind of film."""


def to_float(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Return float32 in `value_range` of uint8 levels 0..255: x / 255 * (high - low) + low."""
    low, high = value_range
    floats = images.to(torch.float32).div_(255 / (high - low))
    return floats.add_(low) if low else floats


def to_levels(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Return float32 levels of floats in `value_range`, neither rounded nor clamped."""
    low, high = value_range
    return images.float().sub(low).mul_(255 / (high - low))


def to_uint8(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Return the nearest uint8 levels of floats in `value_range`; values outside are clamped."""
    return to_levels(images, value_range).round_().clamp_(0, 255).to(torch.uint8)


def grid(images: Tensor, columns: int | None = None) -> Tensor:
    """Return uint8 images (N, C, H, W), C 1 or 3, in a grid, by default about square: (3, height, width)."""
    scale = max(1, -(-SMALLEST // images.shape[-1]))
    enlarged = images.cpu().repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    return make_grid(enlarged, nrow=columns or max(1, round(len(images) ** 0.5)), padding=2, pad_value=128)


def png(image: Tensor) -> bytes:
    """Return the content of a PNG file of a uint8 image (C, H, W)."""
    file = BytesIO()
    Image.fromarray(image.cpu().permute(1, 2, 0).squeeze(-1).numpy()).save(file, "png")
    return file.getvalue()


def film(frames: Sequence[Image.Image], kind: str, durations: int | list[int]) -> bytes:
    """Return the content of an endless film: "gif", of 256 colours a frame, or lossless "apng" or "webp".

    durations: milliseconds of each frame, or of all.
    """
    first, *rest = frames
    file = BytesIO()
    first.save(file, save_all=True, append_images=rest, duration=durations, loop=0, **FILMS[kind])
    return file.getvalue()
