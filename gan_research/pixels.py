"""Between bytes and the numbers that the players see."""

import torch
from torch import Tensor


def to_float(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """uint8 levels 0..255 -> float32 in `value_range`: x / 255 * (high - low) + low."""
    low, high = value_range
    floats = images.to(torch.float32).div_(255 / (high - low))
    return floats.add_(low) if low else floats


def to_uint8(images: Tensor, value_range: tuple[float, float]) -> Tensor:
    """The inverse: floats in `value_range` -> the nearest level; what lies outside is clamped."""
    low, high = value_range
    return images.float().sub(low).mul_(255 / (high - low)).round_().clamp_(0, 255).to(torch.uint8)
