"""Views of images for consistency regularization."""

import torch
from torch import Tensor

from gan_research.utils.pixels import integers, reflect, shifted, take
from gan_research.utils.rng import Noise


def flip_and_shift(images: Tensor, noise: Noise, purpose: str, shift: float = 1 / 8) -> Tensor:
    """Return the images (N, C, H, W), each flipped left to right with probability 1/2, and shifted.

    The transformation of CR (Zhang et al. 2020, section 3.2): shifts along both axes are integers, uniform up to
    floor(shift * size) pixels, and the border is filled by reflection. No pixel is interpolated.

    purpose: the name of the random stream.
    """
    height, width = images.shape[2:]
    flip, down, right = noise.uniform(purpose, 3).split(1, 1)
    rows, columns = (
        reflect(shifted(size, integers(by, -int(shift * size), int(shift * size))), size)
        for size, by in ((height, down), (width, right))
    )
    return take(images, rows, torch.where(flip < 0.5, width - 1 - columns, columns))
