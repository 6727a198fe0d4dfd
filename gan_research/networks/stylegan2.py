"""StyleGAN2: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", configuration F.

The networks are as in NVIDIA's code for "Training generative adversarial networks with limited data" (StyleGAN2-ADA),
whose configurations, in the arguments of this file and with 512 latent dimensions, are:

    data                width  mapping_layers  architecture  minibatch_std_group
    CIFAR-10              512               2  orig                           32
    64 pixels, "auto"     256               2  resnet                          4
    "paper256"             64               8  resnet                          8
    1024 pixels, F         32               8  resnet                          4

Their `conv_clamp` is 256, for float16. Groups of the minibatch standard deviation are of consecutive samples; theirs
are of samples that are N / group apart, so that the groups depend on the number of devices.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, cat, nn, randn, zeros

from gan_research.networks.base import Discriminator, base_and_doublings, doubling_widths, require_one_of
from gan_research.networks.equalized import (
    GAIN,
    SLOPE,
    EqualizedConv,
    EqualizedLinear,
    Mapping,
    clamped,
    without_autocast,
)
from gan_research.networks.fir import Blur, Downsample, Upsample
from gan_research.networks.heads import Head, HeadFactory, LinearHead, make_head
from gan_research.networks.layers import output_range
from gan_research.networks.mapped import MappedGenerator
from gan_research.utils.errors import UserError, require, require_positive
from gan_research.utils.sample_spec import SampleSpec

Architecture = Literal["resnet", "orig", "skip"]
CHANNEL_BASE = 32768


class StyledConv(nn.Module):
    """A modulated conv3, noise, bias and LeakyReLU 0.2: (N, inner, H, W) and w (N, w_dim) -> (N, outer, H, W).

    Styles s = A w + b scale the input channels of the weight, which is then scaled to norm 1 for each output channel.
    With `up` it is a transposed convolution of stride 2 and a blur, to (N, outer, 2H, 2W).
    noisy: it adds `strength`, at first 0, times noise (N, 1, H, W). fused: convolve each sample with its own weight, in
    a grouped convolution; else scale the channels before and after a common one, which gives the same.
    """

    def __init__(
        self, inner: int, outer: int, w_dim: int, up: bool, noisy: bool, fused: bool, clamp: float | None
    ) -> None:
        super().__init__()
        self.up, self.fused, self.clamp = up, fused, clamp
        self.affine = EqualizedLinear(w_dim, inner, bias=1.0)
        self.weight = nn.Parameter(randn(outer, inner, 3, 3))
        self.bias = nn.Parameter(zeros(outer))
        self.strength = nn.Parameter(zeros(())) if noisy else None
        self.blur = Blur(1, gain=4.0) if up else nn.Identity()

    def forward(self, images: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        with without_autocast(w):
            styles = self.affine(w)
        maps = self.blur((self.convolve_each if self.fused else self.convolve_all)(images, styles))
        maps = maps + (GAIN * self.bias).to(maps.dtype)[:, None, None]
        if self.strength is not None and noise is not None:
            maps = maps + (GAIN * self.strength * noise).to(maps.dtype)
        return clamped(F.leaky_relu(maps, SLOPE), self.clamp)

    def convolve_all(self, images: Tensor, styles: Tensor) -> Tensor:
        """Return the convolution, times the activation's gain, by scaling channels."""
        scale = self.weight[0].numel() ** -0.5  # keeps half precision from overflowing
        with without_autocast(styles):
            gains = (styles.square() @ self.weight.square().sum((2, 3)).T + 1e-8).rsqrt() * (GAIN / scale)
        maps = self.convolve(images * styles.to(images.dtype)[:, :, None, None], scale * self.weight)
        return maps * gains.to(maps.dtype)[:, :, None, None]

    def convolve_each(self, images: Tensor, styles: Tensor) -> Tensor:
        """Return the same by a convolution of N groups."""
        weights = self.weight * styles[:, None, :, None, None]
        weights = weights * (GAIN * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt())
        maps = self.convolve(images.reshape(1, -1, *images.shape[2:]), weights.flatten(0, 1), len(images))
        return maps.unflatten(1, (len(images), -1)).squeeze(0)

    def convolve(self, images: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
        """Return the convolution of (N, groups inner, H, W) with (groups outer, inner, 3, 3)."""
        if not self.up:
            return F.conv2d(images, weight, padding=1, groups=groups)
        weight = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        return F.conv_transpose2d(images, weight, stride=2, groups=groups)


class ToImage(nn.Module):
    """A modulated conv1 without the normalization of weights: (N, inner, H, W) and w -> images (N, channels, H, W)."""

    def __init__(self, inner: int, channels: int, w_dim: int, clamp: float | None) -> None:
        super().__init__()
        self.affine = EqualizedLinear(w_dim, inner, bias=1.0)
        self.weight = nn.Parameter(randn(channels, inner))
        self.bias = nn.Parameter(zeros(channels))
        self.clamp = clamp

    def forward(self, images: Tensor, w: Tensor) -> Tensor:
        with without_autocast(w):
            styles = self.affine(w) * self.weight.shape[1] ** -0.5
        weights = self.weight * styles[:, None]
        pixels = (weights @ images.flatten(2)).unflatten(2, images.shape[2:])
        return clamped(pixels + self.bias[:, None, None], self.clamp)


class StyleGAN2Generator(MappedGenerator):
    """A learned constant, styled convolutions, and the sum of an image for each resolution.

    The resolution is b * 2^n, or a UserError is raised; `base` sets b (None: 4, 6 or 7, whichever fits). There are
    2n + 2 vectors w: of the 2n + 1 convolutions, and of the last image; the other images share that of the next
    convolution.

    width: channels at the full resolution; they double towards the constant, up to `max_width`. None: 32768 /
    resolution, as in the paper. w_dim: the size of w. mapping_layers: the depth of the mapping network.
    layer_noise: each convolution adds noise. fused: see `StyledConv`. conv_clamp: the largest output of a layer.
    Values aren't bounded: those of `value_range` (-1, 1) are mapped linearly to another range.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt | None = None,
        max_width: PositiveInt = 512,
        w_dim: PositiveInt = 512,
        mapping_layers: PositiveInt = 8,
        layer_noise: bool = True,
        fused: bool = False,
        conv_clamp: PositiveFloat | None = None,
        base: PositiveInt | None = None,
    ) -> None:
        super().__init__(latent_dim, samples)
        require(1, w_dim=w_dim, mapping_layers=mapping_layers)
        base, widths = base_and_widths(samples.resolution, base, width, max_width, conv_clamp)
        widths = widths[::-1]
        self.w_dim, self.num_ws = w_dim, 2 * len(widths)
        self.sides = [base, *(base * 2**i for i in range(1, len(widths)) for _ in range(2))]
        self.noise_dim = sum(side**2 for side in self.sides) if layer_noise else 0
        self.mapping = Mapping(latent_dim, samples.num_classes, w_dim, mapping_layers)
        self.constant = nn.Parameter(randn(widths[0], base, base))
        sizes = [(widths[0], widths[0], False)]
        sizes += [size for x, y in pairwise(widths) for size in ((x, y, True), (y, y, False))]
        self.convs = nn.ModuleList(
            StyledConv(inner, outer, w_dim, up, layer_noise, fused, conv_clamp) for inner, outer, up in sizes
        )
        self.to_images = nn.ModuleList(ToImage(w, samples.channels, w_dim, conv_clamp) for w in widths)
        self.upsamples = nn.ModuleList(Upsample(side) for side in self.sides[:-1:2])
        self.output = output_range(samples.value_range, bounded=False)

    def to_w(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        return self.mapping(latents, labels)

    def synthesise(self, ws: Tensor, noise: Tensor | None = None) -> Tensor:
        maps, image = self.constant.expand(ws.shape[0], -1, -1, -1), None  # len() would be a constant to torch.export
        for i, (conv, plane) in enumerate(zip(self.convs, self.planes(noise), strict=True)):
            maps = conv(maps, ws[:, i], plane)
            if i % 2 == 0:
                part = self.to_images[i // 2](maps, ws[:, i + 1])
                image = part if image is None else self.enlarged(image, i // 2 - 1) + part
        return self.output(image)

    def planes(self, noise: Tensor | None) -> Sequence[Tensor | None]:
        """Return the layers' noise (N, noise_dim) as (N, 1, H, W) for each convolution."""
        if noise is None or not self.noise_dim:
            return [None] * len(self.convs)
        parts = noise.split([side**2 for side in self.sides], 1)
        return [part.view(-1, 1, side, side) for part, side in zip(parts, self.sides, strict=True)]

    def enlarged(self, image: Tensor, i: int) -> Tensor:
        """Return the image at twice its size, in float32 also under autocast."""
        with without_autocast(image):
            return self.upsamples[i](image.to(torch.promote_types(image.dtype, torch.float32)))

    def first_affines(self) -> list[Tensor]:
        """Return the weights (outer, w_dim) of the styles: the i-th reads the i-th w."""
        return [layer.affine.scaled()[0] for layer in (*self.convs, self.to_images[-1])]


class MinibatchStd(nn.Module):
    """A layer that appends the standard deviation inside groups: (N, C, H, W) -> (N, C + channels, H, W).

    Karras et al. 2018, section 3. Of each pixel and channel in a group of consecutive samples, it is
    sqrt(variance + 1e-8), and its means over pixels and over each of `channels` equal parts of C are constant maps.
    """

    def __init__(self, group: int, channels: int) -> None:
        super().__init__()
        self.group, self.channels = group, channels

    def forward(self, images: Tensor) -> Tensor:
        if len(images) % self.group:
            raise UserError(
                f"{len(images)} samples don't make groups of {self.group}, whose standard deviation D computes: choose "
                "a batch_size that devices x accumulation x minibatch_std_group divides, or another "
                "discriminator.minibatch_std_group"
            )
        precise = images.to(torch.promote_types(images.dtype, torch.float32))
        groups = precise.unflatten(0, (-1, self.group)).unflatten(2, (self.channels, -1))
        deviations = (groups.var(1, correction=0) + 1e-8).sqrt().mean((2, 3, 4)).to(images.dtype)
        maps = deviations.repeat_interleave(self.group, 0)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        return cat([images, maps], 1)


class Block(nn.Module):
    """A block conv3-conv3-down of D: maps (N, inner, 2 size, 2 size), or None -> (N, outer, size, size).

    It also maps the image to itself at the half size. channels: those of the image, if the block adds a conv1 of it to
    the maps, else 0. "resnet": a shortcut, blur-down-conv1, is added, and the sum divided by sqrt(2).
    """

    def __init__(
        self, channels: int, inner: int, outer: int, size: int, architecture: Architecture, clamp: float | None
    ) -> None:
        super().__init__()
        self.from_image = EqualizedConv(channels, inner, 1, clamp=clamp) if channels else None
        gain = 0.5**0.5 if architecture == "resnet" else 1.0
        self.conv1 = EqualizedConv(inner, inner, 3, clamp=clamp)
        self.conv2 = EqualizedConv(inner, outer, 3, gain=gain, down=True, clamp=clamp)
        self.shortcut = self.downsample = None
        if architecture == "resnet":
            conv = EqualizedConv(inner, outer, 1, bias=None, activate=False, gain=gain)
            self.shortcut = nn.Sequential(Downsample(size), conv)
        elif architecture == "skip":
            self.downsample = Downsample(size)

    def forward(self, maps: Tensor | None, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = with_image(self.from_image, maps, images)
        hidden = self.conv2(self.conv1(maps))
        if self.shortcut is not None:
            hidden = hidden + self.shortcut(maps)
        return hidden, images if self.downsample is None else self.downsample(images)


class LabelMappingHead(Head):
    """The head logit = <A h + b, m(y)> / sqrt(num_features).

    StyleGAN2-ADA, Karras et al. 2020; "SPD" in StudioGAN. m is a mapping network of the class, of `layers` layers.
    There is no term without the class.
    """

    needs_classes = True

    def __init__(self, num_features: int, num_classes: int, bias: bool = True, layers: PositiveInt = 8) -> None:
        super().__init__(num_features, num_classes, bias)
        require(1, **{"head.layers": layers})
        self.linear = EqualizedLinear(num_features, num_features, 0.0 if bias else None)
        self.mapping = Mapping(0, num_classes, num_features, layers)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return (self.linear(features) * self.mapping(None, labels)).sum(1) * self.num_features**-0.5


class StyleGAN2Discriminator(Discriminator):
    """Blocks that halve the resolution to b, minibatch standard deviation, conv3, and linear layer.

    base, width, max_width, conv_clamp: as in the generator. architecture: of the blocks, "resnet", as in the paper;
    "orig", without shortcuts; or "skip", in which each block gets the image too. minibatch_std_group: consecutive
    samples of a group; it divides micro-batches. minibatch_std_channels: see `MinibatchStd`; 0: none.
    The head is `LabelMappingHead` if there are classes, else linear; its learning rate is equalized.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt | None = None,
        max_width: PositiveInt = 512,
        architecture: Architecture = "resnet",
        minibatch_std_group: PositiveInt = 4,
        minibatch_std_channels: NonNegativeInt = 1,
        conv_clamp: PositiveFloat | None = None,
        base: PositiveInt | None = None,
        packing: PositiveInt = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        require_one_of(get_args(Architecture), architecture=architecture)
        require(1, minibatch_std_group=minibatch_std_group)
        require(0, minibatch_std_channels=minibatch_std_channels)
        base, widths = base_and_widths(samples.resolution, base, width, max_width, conv_clamp)
        last, added = widths[-1], minibatch_std_channels
        if added and last % added:
            raise UserError(f"minibatch_std_channels={added} doesn't divide {last} channels: choose a divisor")
        channels, doublings, skips = self.packed_channels, len(widths) - 1, architecture == "skip"
        self.blocks = nn.ModuleList(
            Block(channels if skips or i == 1 else 0, *pair, base * 2 ** (doublings - i), architecture, conv_clamp)
            for i, pair in enumerate(pairwise(widths), start=1)
        )
        self.from_image = EqualizedConv(channels, last, 1, clamp=conv_clamp) if skips else None
        self.minibatch_std = MinibatchStd(minibatch_std_group, added) if added else nn.Identity()
        self.batch_multiple *= minibatch_std_group if added else 1
        self.conv = EqualizedConv(last + added, last, 3, clamp=conv_clamp)
        self.linear = EqualizedLinear(last * base**2, last, activate=True)
        default = LabelMappingHead if samples.num_classes else LinearHead
        self.head = make_head(last, samples.num_classes, head=head or default)
        if isinstance(self.head, LinearHead):
            self.head.linear = EqualizedLinear(last, 1)

    def features(self, images: Tensor) -> Tensor:
        maps = None
        for block in self.blocks:
            maps, images = block(maps, images)
        maps = self.minibatch_std(with_image(self.from_image, maps, images))
        return self.linear(self.conv(maps).flatten(1))


def with_image(from_image: nn.Module | None, maps: Tensor | None, images: Tensor) -> Tensor:
    """Return the maps plus those of the image, if a layer makes any."""
    if from_image is None:
        assert maps is not None
        return maps
    return from_image(images) if maps is None else maps + from_image(images)


def base_and_widths(
    resolution: int | None, base: int | None, width: int | None, max_width: int, conv_clamp: float | None
) -> tuple[int, list[int]]:
    """Return the lowest resolution, and the channels from the image inwards; check the arguments."""
    base, doublings = base_and_doublings(resolution, base)
    if conv_clamp is not None:
        require_positive(conv_clamp=conv_clamp)
    if width is None:
        width = max(1, min(CHANNEL_BASE // (base * 2**doublings), max_width))
    return base, doubling_widths(width, max_width, doublings + 1)
