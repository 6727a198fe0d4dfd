"""Numbers that change with the images seen, without state."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class Ramp:
    """A number that goes from `base` to `final` while training sees `images` real images.

    With t = (images seen - hold) / images, clipped to [0, 1], it is base + (final - base) s(t), where s is
    (1 - cos(pi t)) / 2 (R3GAN, Huang et al. 2024) or t. It is a pure function of the images seen before the round, so
    that a resumed run continues it.

    hold: images during which it stays at `base`. warmup: images over which it is multiplied by a factor that rises
    linearly from 0 to 1.
    """

    base: float
    final: float
    images: PositiveFloat
    hold: NonNegativeFloat = 0
    warmup: NonNegativeFloat = 0
    shape: Literal["cosine", "linear"] = "cosine"

    def __post_init__(self) -> None:
        if not self.images > 0 or self.hold < 0 or self.warmup < 0:
            raise UserError(f"{self}: images has to be above 0, hold and warmup at least 0")
        if self.shape not in ("cosine", "linear"):
            raise UserError(f"{self}: set its shape to cosine or linear")

    def at(self, images_seen: Tensor | float) -> Tensor:
        """Return the value after `images_seen` images: a float64 scalar on their device."""
        seen = torch.as_tensor(images_seen, dtype=torch.float64)
        t = ((seen - self.hold) / self.images).clamp(0, 1)
        share = (1 - torch.cos(math.pi * t)) / 2 if self.shape == "cosine" else t
        value = self.base + (self.final - self.base) * share
        return value * (seen / self.warmup).clamp(max=1) if self.warmup else value


Number = float | Ramp
NonNegative = NonNegativeFloat | Ramp
Positive = PositiveFloat | Ramp


def value_at(number: Number, images_seen: Tensor | float) -> Any:
    """Return the number, or a ramp's value after `images_seen` images.

    It is a float, or a float64 scalar on the device of `images_seen`.
    """
    return number.at(images_seen) if isinstance(number, Ramp) else number


def bounds(number: Number) -> tuple[float, float]:
    """Return the smallest and the largest value that the number takes."""
    if not isinstance(number, Ramp):
        return number, number
    ends = [number.base, number.final, *([0.0] if number.warmup else [])]
    return min(ends), max(ends)


def contains_ramp(value: Any) -> bool:
    """Return whether a value, or an item of a list or tuple, is a ramp."""
    return isinstance(value, Ramp) or (isinstance(value, list | tuple) and any(map(contains_ramp, value)))


def resolved(value: Any, images_seen: float) -> Any:
    """Return a value, list or tuple with each ramp replaced by its value."""
    if isinstance(value, list | tuple):
        return type(value)(resolved(item, images_seen) for item in value)
    return float(value.at(images_seen)) if isinstance(value, Ramp) else value
