"""The augmentations of ADA, with their controller."""

import math
from collections.abc import Mapping
from typing import Any, Literal, Unpack, cast, get_args

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from typing_extensions import TypedDict

from gan_research.augmentations.adaptive import AdaptiveAugmentation
from gan_research.augmentations.base import AugmentationInput, ImageAugmentation, log
from gan_research.augmentations.resampling import SYM6, filter_bank, filtered, resample
from gan_research.regularizers.step import SideName
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.pixels import rectangle, reflect, shifted, take_at
from gan_research.utils.ramps import Ramp
from gan_research.utils.ranges import Probability

Preset = Literal["b", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"]

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geometry": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
"""The transforms of each letter of the longest preset."""

POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""The expected power of natural images in the octave bands."""


class Multipliers(TypedDict, total=False):
    """Factors of p, by transform; null: 1 if the preset has the transform, else 0."""

    xflip: NonNegativeFloat | None
    rotate90: NonNegativeFloat | None
    xint: NonNegativeFloat | None
    scale: NonNegativeFloat | None
    rotate: NonNegativeFloat | None
    aniso: NonNegativeFloat | None
    xfrac: NonNegativeFloat | None
    brightness: NonNegativeFloat | None
    contrast: NonNegativeFloat | None
    lumaflip: NonNegativeFloat | None
    hue: NonNegativeFloat | None
    saturation: NonNegativeFloat | None
    imgfilter: NonNegativeFloat | None
    noise: NonNegativeFloat | None
    cutout: NonNegativeFloat | None


class Draws:
    """The random numbers of one pass, (N,) each; all of them are drawn, whatever the preset.

    chance: p. multipliers: of each transform.
    """

    def __init__(self, context: AugmentationInput, purpose: str, chance: Any, multipliers: Mapping[str, float]) -> None:
        self._chance, self._multipliers = chance, multipliers
        self._uniform = iter(context.noise.uniform(purpose, UNIFORM).unbind(1))
        self._normal = iter(context.noise.normal(f"{purpose} normal", NORMAL).unbind(1))

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * next(self._uniform)

    def one_of(self, number: int) -> Tensor:
        """Return integers uniform on 0..number - 1."""
        return self.uniform(0, number).floor()

    def normal(self, std: float) -> Tensor:
        return std * next(self._normal)

    def coin(self, transform: str) -> Tensor:
        """Return True for images that get the transform: with probability p times its multiplier."""
        return next(self._uniform) < self._chance * self._multipliers[transform]

    def rotation_coin(self) -> Tensor:
        """Return True with probability 1 - sqrt(1 - p): of two coins, one or both are True with probability p."""
        return next(self._uniform).square() >= 1 - self._chance * self._multipliers["rotate"]


UNIFORM, NORMAL = 29, 12
"""The numbers of random numbers that the transforms of an image take."""


class ADA(AdaptiveAugmentation, ImageAugmentation):
    """Adaptive discriminator augmentation (Karras et al. 2020, "Training generative adversarial networks with limited
    data", section 3 and appendix B).

    An image gets each transform with probability p times its multiplier. With s = size, in this order:
        xflip, rotate90: one of 2 flips, of 4 quarter turns, uniform. xint: integers in +-0.125 s.
        scale: 2^N(0, 0.2^2). rotate: U(-pi, pi), before and after aniso: 2^N(0, 0.2^2) along x, its inverse along y.
        xfrac: N(0, (0.125 s)^2). All geometry is one affine map; the border is filled by reflection.
        brightness: + N(0, 0.2^2). contrast: times 2^N(0, 0.5^2). lumaflip: the luma negated, or not. hue: a rotation
            about the luma axis by U(-pi, pi). saturation: chroma times 2^N(0, 1).
        imgfilter: 4 octave bands, each times 2^N(0, 1), at constant expected power.
        noise: N(0, sigma^2) with sigma = |N(0, 0.1^2)|. cutout: a rectangle of 0.5 s with a uniform center, set to 0.
    Grey images get the luma part of color; other numbers of channels than 1 and 3 get no color.

    preset: the transforms with multiplier 1: b blit, g geometry, c color, f filter, n noise, c cutout.
    p, target, kimg, every: see `AdaptiveAugmentation`.
    exact_blit: flip, turn and shift by index if nothing else moves the image. The authors' code resamples all images
        with an asymmetric wavelet, which blurs flips and quarter turns.
    synced: a real and its paired fake get the same transforms.
    multipliers: see `Multipliers`.
    """

    wavelet: Tensor
    bank: Tensor
    power: Tensor

    def __init__(
        self,
        preset: Preset = "bgc",
        p: Probability | Ramp = 0.0,
        target: float | None = 0.6,
        kimg: PositiveFloat = 500,
        every: PositiveInt = 4,
        exact_blit: bool = True,
        synced: bool = False,
        **multipliers: Unpack[Multipliers],
    ):
        super().__init__(p, target, kimg, every)
        names, given = sum(GROUPS.values(), ()), cast(dict[str, float | None], multipliers)
        if preset not in get_args(Preset):
            raise UserError(f"ADA: there is no preset '{preset}': {did_you_mean(preset, get_args(Preset))}")
        if unknown := multipliers.keys() - names:
            raise UserError(f"ADA has no transform '{min(unknown)}': {did_you_mean(min(unknown), names)}")
        active = sum(list(GROUPS.values())[: len(preset)], ())
        self.multipliers = dict.fromkeys(names, 0.0) | dict.fromkeys(active, 1.0)
        self.multipliers |= {name: value for name, value in given.items() if value is not None}
        for name, value in self.multipliers.items():
            if not value >= 0:
                raise UserError(f"ADA: {name}={value}: set the multiplier to at least 0, or null")
        self.exact_blit, self.synced = exact_blit, synced
        self.register_buffer("wavelet", torch.tensor(SYM6, dtype=torch.float64), persistent=False)
        self.register_buffer("bank", filter_bank(), persistent=False)
        self.register_buffer("power", torch.tensor(POWER, dtype=torch.float64), persistent=False)

    def check(self, objective: Any) -> None:
        super().check(objective)
        channels = objective.networks["discriminator"].samples.channels
        if channels not in (1, 3) and self.has("color"):
            log.warning("ADA: color is for 1 or 3 channels, and these images have %d: it is left out", channels)

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor:
        draws = Draws(context, context.purpose("ada", side, self.synced), self.chance(context), self.multipliers)
        images = self._moved(images, draws)
        colors = recoloring(draws)
        if self.has("color") and images.shape[1] in (1, 3):
            images = recolored(images, *colors)
        gains = torch.stack([torch.exp2(draws.normal(1) * draws.coin("imgfilter")) for _ in POWER], 1)
        if self.has("filter"):
            images = torch.where((gains == 1).all(1)[:, None, None, None], images, self._filtered(images, gains))
        sigma = draws.normal(0.1).abs() * draws.coin("noise")
        if self.has("noise"):
            pixels = context.noise.normal(context.purpose("ada pixels", side, self.synced), *images.shape[1:])
            images = images + sigma[:, None, None, None] * pixels
        return cut_out(images, 0.5 * draws.coin("cutout"), draws.uniform(0, 1), draws.uniform(0, 1))

    def has(self, group: str) -> bool:
        """Return True if a transform of the group has a multiplier above 0."""
        return any(self.multipliers[name] > 0 for name in GROUPS[group])

    def _moved(self, images: Tensor, draws: Draws) -> Tensor:
        """Return the images after flips, turns and shifts, and the affine map of geometry.

        The maps are those from pixels of the result to positions in the image.
        """
        size = images.shape[2]
        flip, turns = draws.one_of(2) * draws.coin("xflip"), draws.one_of(4) * draws.coin("rotate90")
        coin = draws.coin("xint")
        shift = torch.stack([(draws.uniform(-0.125, 0.125) * size).round() * coin for _ in "xy"], 1)
        linear, offset = geometry(draws, size)
        if not self.exact_blit:
            blit = product(diagonal(1 - 2 * flip, torch.ones_like(flip)), rotation(turns * (math.pi / 2)))
            offset = apply(blit, offset - shift)
            return resample(images, product(blit, linear), offset, self.wavelet.to(images.dtype))
        is_moved = (linear != torch.eye(2, device=linear.device)).flatten(1).any(1) | (offset != 0).any(1)
        if self.has("blit"):
            images = take_at(images, blitted(size, flip, turns, shift * ~is_moved[:, None]))
        if self.has("geometry"):
            moved = resample(images, linear, offset - shift, self.wavelet.to(images.dtype))
            images = torch.where(is_moved[:, None, None, None], moved, images)
        return images

    def _filtered(self, images: Tensor, gains: Tensor) -> Tensor:
        """Return the images with gains (N, 4) of octave bands, at constant expected power."""
        normalized = gains / (1 + self.power.to(gains) * (gains.square() - 1)).sqrt().prod(1, keepdim=True)
        return filtered(images, normalized @ self.bank.to(gains))


def geometry(draws: Draws, size: int) -> tuple[Tensor, Tensor]:
    """Return the map `linear @ (x, y) + offset` of scale, rotations, anisotropic scale and translation.

    linear: (N, 2, 2). offset: (N, 2), in pixels. Both are exact where no transform is applied.
    """
    scale = torch.exp2(draws.normal(0.2) * draws.coin("scale"))
    first, last = (rotation(draws.uniform(-math.pi, math.pi) * draws.rotation_coin()) for _ in range(2))
    stretch = torch.exp2(draws.normal(0.2) * draws.coin("aniso"))
    coin = draws.coin("xfrac")
    translation = torch.stack([draws.normal(0.125) * size * coin for _ in "xy"], 1)
    linear = product(product(first, diagonal(1 / (scale * stretch), stretch / scale)), last)
    return linear, -apply(linear, translation)


def blitted(size: int, flip: Tensor, turns: Tensor, shift: Tensor) -> Tensor:
    """Return the source i * size + j of each pixel (N, size, size)."""
    last = size - 1
    columns, rows = (reflect(shifted(size, by.long()), size) for by in shift.split(1, 1))
    i, j = rows[:, :, None], columns[:, None, :]
    flip, turns = flip[:, None, None], turns[:, None, None]
    i, j = torch.where(turns % 2 == 1, j, i), torch.where(turns % 2 == 1, last - i, j)
    i, j = torch.where(turns >= 2, last - i, i), torch.where(turns >= 2, last - j, j)
    return i * size + torch.where(flip == 1, last - j, j)


def rotation(angle: Tensor) -> Tensor:
    """Return rotations (N, 2, 2) by angles (N,)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], 1).view(-1, 2, 2)


def diagonal(x: Tensor, y: Tensor) -> Tensor:
    """Return diagonal matrices (N, 2, 2)."""
    return torch.diag_embed(torch.stack([x, y], 1))


def product(first: Tensor, second: Tensor) -> Tensor:
    """Return products of matrices (N, 2, 2), also with TF32 in full precision."""
    return (first[..., None] * second[:, None]).sum(2)


def apply(linear: Tensor, vector: Tensor) -> Tensor:
    """Return products of matrices (N, 2, 2) and vectors (N, 2)."""
    return (linear * vector[:, None]).sum(2)


def recoloring(draws: Draws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the color map as (chroma, luma, turn, offset), (N,) each.

    (1, 1, 0, 0) is exactly the identity.

    Let m be the mean over channels, v = (1, 1, 1) / sqrt(3), and x - m the chroma. All linear transforms commute:
    contrast scales both, the flip negates m, saturation scales the chroma, and hue rotates it to
    cos(t) (x - m) + sin(t) v x (x - m). Brightness comes first.
    """
    brightness = draws.normal(0.2) * draws.coin("brightness")
    contrast = torch.exp2(draws.normal(0.5) * draws.coin("contrast"))
    luma = contrast * (1 - 2 * draws.one_of(2) * draws.coin("lumaflip"))
    hue = draws.uniform(-math.pi, math.pi) * draws.coin("hue")
    saturation = contrast * torch.exp2(draws.normal(1) * draws.coin("saturation"))
    return saturation * hue.cos(), luma, saturation * hue.sin(), luma * brightness


def recolored(images: Tensor, chroma: Tensor, luma: Tensor, turn: Tensor, offset: Tensor) -> Tensor:
    """Return `chroma (x - m) + luma m + turn (v x x) + offset` for images of 1 or 3 channels."""
    chroma, luma, turn, offset = (factor[:, None, None, None] for factor in (chroma, luma, turn, offset))
    cross = (images.roll(1, 1) - images.roll(-1, 1)) / math.sqrt(3)
    return chroma * images + (luma - chroma) * images.mean(1, keepdim=True) + turn * cross + offset


def cut_out(images: Tensor, side: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the images with a square of 0 each, in fractions of the size.

    side, and center x, y: (N,). Pixel j is in it if |(j + 0.5) / W - x| < side / 2, and the same along y.
    """
    is_hole = [
        ((torch.arange(size, device=images.device) + 0.5) / size - center[:, None]).abs() < side[:, None] / 2
        for size, center in ((images.shape[2], y), (images.shape[3], x))
    ]
    return images * ~rectangle(*is_hole)
