"""Pictures: as the numbers that the players see, as bytes, as PNGs."""

from io import BytesIO

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

SEEN = 32
"""Pictures with fewer pixels a side are enlarged in a grid, so that they can be seen."""


def to_float(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """uint8 levels 0..255 -> float32 in `value_range`: x / 255 * (high - low) + low."""
    low, high = value_range
    floats = images.to(torch.float32).div_(255 / (high - low))
    return floats.add_(low) if low else floats


def to_levels(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """The inverse: floats in `value_range` -> float32 levels, neither rounded nor clamped."""
    low, high = value_range
    return images.float().sub(low).mul_(255 / (high - low))


def to_uint8(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Floats in `value_range` -> the nearest level; what lies outside is clamped."""
    return to_levels(images, value_range).round_().clamp_(0, 255).to(torch.uint8)


def grid(pictures: Tensor) -> Tensor:
    """Bytes (N, C, H, W), C 1 or 3, side by side, as square as N allows: (3, height, width)."""
    scale = max(1, -(-SEEN // pictures.shape[-1]))
    enlarged = pictures.cpu().repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    columns = max(1, round(len(pictures) ** 0.5))
    return make_grid(enlarged, nrow=columns, padding=2, pad_value=128)


def png(picture: Tensor) -> bytes:
    """Bytes (C, H, W), C 1 or 3, as a PNG file's content."""
    file = BytesIO()
    Image.fromarray(picture.cpu().permute(1, 2, 0).squeeze(-1).numpy()).save(file, "png")
    return file.getvalue()
