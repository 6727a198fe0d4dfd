"""Moves of pixels by index, without interpolation."""

import torch
from torch import Tensor


def integers(uniform: Tensor, low: int, high: int) -> Tensor:
    """Return integers uniform on low..high, inclusive, from numbers uniform on [0, 1)."""
    return (uniform * (high - low + 1)).floor().long() + low


def shifted(size: int, by: Tensor) -> Tensor:
    """Return source indices (N, size) for shifts (N, 1) along an axis; they may be outside."""
    return torch.arange(size, device=by.device) - by


def reflect(index: Tensor, size: int) -> Tensor:
    """Return indices in 0..size - 1 of any integers, reflected at the borders."""
    last = size - 1
    return last - (index % max(1, 2 * last) - last).abs()


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return images whose pixels (i, j) are those at (rows[n, i], columns[n, j]).

    images: (N, C, H, W). rows: (N, H) in 0..H - 1. columns: (N, W) in 0..W - 1.
    """
    return take_at(images, rows[:, :, None] * images.shape[3] + columns[:, None, :])


def take_at(images: Tensor, source: Tensor) -> Tensor:
    """Return images with the pixels at `source` (N, H, W), indices i * W + j."""
    index = source.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)


def rectangle(rows: Tensor, columns: Tensor) -> Tensor:
    """Return a mask (N, 1, H, W) of the pixels in chosen rows (N, H) and columns (N, W)."""
    return rows[:, None, :, None] & columns[:, None, None, :]


def translate(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Return the images moved by integers (N, 1) along each axis, with 0 outside."""
    height, width = images.shape[2:]
    rows, columns = shifted(height, down), shifted(width, right)
    is_inside = rectangle((rows >= 0) & (rows < height), (columns >= 0) & (columns < width))
    return take(images, rows.clamp(0, height - 1), columns.clamp(0, width - 1)) * is_inside


def cut_out(images: Tensor, uniform: Tensor, side: float) -> Tensor:
    """Return the images with a square of 0 each, clipped at the border.

    uniform: numbers uniform on [0, 1) for the center: (N, 2). side: of the square, as a fraction of the size. A square
    of s = floor(side * size + 0.5) pixels starts s // 2 before its center in 0..size - s % 2.
    """
    is_hole = []
    for size, drawn in zip(images.shape[2:], uniform.split(1, 1), strict=True):
        length = int(side * size + 0.5)
        offset = shifted(size, integers(drawn, 0, size - length % 2) - length // 2)
        is_hole.append((offset >= 0) & (offset < length))
    return images * ~rectangle(*is_hole)
