"""Methods to resize images to a network's resolution. Metrics depend on them, so each has a name."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_research.utils.errors import UserError, did_you_mean

Resize = Literal["tf1", "clean", "torchmetrics"]


def resized(images: Tensor, size: int, mode: Resize) -> Tensor:
    """Resize float levels (N, C, H, W), 0 to 255 -> (N, C, size, size), not rounded."""
    return _method(mode)[1](images, size)


def described(size: int, mode: Resize) -> str:
    """Return the protocol's description. Raises a UserError if there is no such method."""
    return f"{size} x {size}, {_method(mode)[0]}"


def _method(mode: Resize) -> tuple[str, Callable[[Tensor, int], Tensor]]:
    if mode not in RESIZES:
        raise UserError(f"there is no resize '{mode}': {did_you_mean(mode, RESIZES)}")
    return RESIZES[mode]


def _tf1(images: Tensor, size: int) -> Tensor:
    """Resize bit for bit as torch-fidelity, but faster: columns first, then rows, each only once."""
    for dim in (3, 2):
        length = images.shape[dim]
        at = torch.arange(size, dtype=torch.float32, device=images.device) * torch.tensor(length / size)
        index = at.long()
        share = (at - index).view(size, *[1] * (3 - dim))
        left, right = (images.index_select(dim, i) for i in (index, (index + 1).clamp_max(length - 1)))
        images = left + (right - left) * share
    return images


def _clean(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, (size, size), mode="bicubic", antialias=True).clamp(0, 255)  # bicubic overshoots


def _torchmetrics(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True)


RESIZES = {  # the descriptions are part of cache keys: don't change them
    "tf1": ("bilinear as in TensorFlow 1: no half-pixel offset, no antialiasing (the reference)", _tf1),
    "clean": ("bicubic with antialiasing, as PIL has it, clamped (clean-fid)", _clean),
    "torchmetrics": ("bilinear with antialiasing, half-pixel offset (torchmetrics' default since 1.8)", _torchmetrics),
}
