"""Resampling and filtering of images with wavelets (ADA, Karras et al. 2020, appendix B)."""

import math

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample

from gan_research.utils.pixels import reflect

SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
"""Low-pass filters of orthogonal symlets: sum sqrt(2), sum of squares 1, zero correlation at even shifts."""


def resample(images: Tensor, linear: Tensor, offset: Tensor, wavelet: Tensor) -> Tensor:
    """Return the images at the positions `linear @ (x, y) + offset`, from their center.

    The images are continued by reflection, up to size - 1 pixels at each border, and by 0; they are upsampled by 2,
    interpolated bilinearly and downsampled by 2, each with the wavelet. All shapes are constant, and nothing is read
    on the host.

    images: (N, C, H, H). linear: (N, 2, 2). offset: (N, 2). wavelet: the taps of `SYM6`.
    """
    size, margin = images.shape[2], images.shape[2] - 1
    up, down = upsampling(size, wavelet), downsampling(size, wavelet)
    fine = up @ (images @ up.T)
    center, fine_size = (size - 1) / 2, len(up)
    position = torch.arange(down.shape[1], dtype=images.dtype, device=images.device) / 2 - SLACK - center
    x, y = position[None, None, :, None], position[None, :, None, None]
    at = linear[:, None, None, :, 0] * x + linear[:, None, None, :, 1] * y + offset[:, None, None]
    grid = (2 * 2 * (at + center + margin) + 1) / fine_size - 1  # -1 and 1: the outer borders of the fine image
    return down @ grid_sample(fine, grid, mode="bilinear", padding_mode="zeros", align_corners=False) @ down.T


SLACK = 3
"""The pixels beyond each border that downsampling reads."""


def upsampling(size: int, wavelet: Tensor) -> Tensor:
    """Return the matrix (2 (3 size - 2), size) that reflects an axis and upsamples it by 2.

    In the fine axis, pixel j contributes sqrt(2) h[t + 5 - 2 j] to sample t.
    """
    margin = size - 1
    fine = torch.arange(-2 * margin, 2 * (size + margin), device=wavelet.device)[:, None]
    pixels = torch.arange(-margin, size + margin, device=wavelet.device)
    weights = math.sqrt(2) * taps(wavelet, fine + 5 - 2 * pixels)
    left, center, right = weights.split([margin, size, margin], 1)
    folded = center.clone()
    folded[:, 1:] += left.flip(1)
    folded[:, :-1] += right.flip(1)
    return folded


def downsampling(size: int, wavelet: Tensor) -> Tensor:
    """Return the matrix (size, 2 (size + 2 SLACK)) that downsamples an axis by 2.

    It is half the transpose of upsampling.
    """
    fine = torch.arange(-2 * SLACK, 2 * (size + SLACK), device=wavelet.device)
    pixels = torch.arange(size, device=wavelet.device)[:, None]
    return taps(wavelet, fine + 5 - 2 * pixels) / math.sqrt(2)


def taps(filter: Tensor, index: Tensor) -> Tensor:
    """Return the filter's taps at integers, 0 outside."""
    last = len(filter) - 1
    return filter[index.clamp(0, last)] * ((index >= 0) & (index <= last))


def filter_bank() -> Tensor:
    """Return 4 octave bands (4, 43), from the lowest, whose sum is a delta.

    With the half-band filters L = h * reversed(h) / 2 of sym2's low-pass h, and H = delta - L: the bands of n + 1
    octaves are H and the bands of n octaves, stretched by 2 and filtered with L.
    """
    h = torch.tensor(SYM2, dtype=torch.float64)
    low = conv(h, h.flip(0)) / 2
    high = -low
    high[3] += 1
    bands = torch.ones(1, 1, dtype=torch.float64)
    for _ in range(3):
        stretched = torch.zeros(len(bands), 2 * bands.shape[1] - 1, dtype=torch.float64)
        stretched[:, ::2] = bands
        bands = torch.stack([conv(band, low) for band in stretched])
        top = torch.zeros(1, bands.shape[1], dtype=torch.float64)
        top[0, (top.shape[1] - 7) // 2 :][:7] = high
        bands = torch.cat([bands, top])
    return bands


def conv(first: Tensor, second: Tensor) -> Tensor:
    """Return the convolution of two sequences, of full length."""
    return torch.nn.functional.conv1d(first[None], second.flip(0)[None, None], padding=len(second) - 1)[0]


def filtered(images: Tensor, filters: Tensor) -> Tensor:
    """Return the images filtered along both axes, continued by reflection.

    images: (N, C, H, W). filters: (N, K), K odd, one for each image.
    """
    n, channels, height, width = images.shape
    reach = filters.shape[1] // 2
    rows, columns = (
        reflect(torch.arange(-reach, size + reach, device=images.device), size) for size in (height, width)
    )
    weights = filters.flip(1).repeat_interleave(channels, 0)[:, None]
    planes = images[:, :, rows][:, :, :, columns].reshape(1, n * channels, height + 2 * reach, width + 2 * reach)
    planes = conv2d(planes, weights[:, :, None], groups=n * channels)
    return conv2d(planes, weights[..., None], groups=n * channels).view_as(images)
