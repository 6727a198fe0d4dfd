"""Residual blocks, and the base classes of networks with them."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_research.networks.attention import SelfAttention
from gan_research.networks.base import Discriminator, Generator
from gan_research.networks.layers import convolution

BLOCK_GAIN = 2**0.5
Upsampling = Literal["nearest", "bilinear"]
Norm = Callable[[int], nn.Module]  # channels -> a layer of images and a condition


class NoNorm(nn.Module):
    """The identity, with the signature of `ConditionalBatchNorm2d`."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images


def attention_if(wanted: bool, channels: int) -> nn.Module:
    """Return self-attention, or the identity."""
    return SelfAttention(channels) if wanted else nn.Identity()


class UpBlock(nn.Module):
    """A block norm-ReLU-upsample-conv3-norm-ReLU-conv3 + upsample-conv1: (N, inner, H, W) -> (N, outer, 2H, 2W).

    The norms take the condition too. `attention`: self-attention follows.
    """

    def __init__(
        self, inner: int, outer: int, norm: Norm, upsampling: Upsampling = "nearest", attention: bool = False
    ) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode=upsampling)
        self.norm1 = norm(inner)
        self.conv1 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.norm2 = norm(outer)
        self.conv2 = convolution(outer, outer, 3, BLOCK_GAIN)
        self.shortcut = convolution(inner, outer, 1)
        self.attention = attention_if(attention, outer)

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        hidden = self.conv1(self.upsample(F.relu(self.norm1(images, condition))))
        hidden = self.conv2(F.relu(self.norm2(hidden, condition)))
        hidden = hidden + self.upsample(self.shortcut(images))  # they commute: this order is four times cheaper
        return self.attention(hidden)


class FirstBlock(nn.Module):
    """A block conv3-norm-ReLU-conv3-pool + pool-norm-conv1: (N, inner, H, W) -> (N, outer, H/2, W/2).

    There is no ReLU on pixels. `attention`: self-attention follows.
    """

    def __init__(self, inner: int, outer: int, batch_norm: bool = False, attention: bool = False) -> None:
        super().__init__()
        self.conv1 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.norm = nn.BatchNorm2d(outer) if batch_norm else nn.Identity()
        self.conv2 = convolution(outer, outer, 3, BLOCK_GAIN)
        self.shortcut_norm = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.shortcut = convolution(inner, outer, 1)
        self.attention = attention_if(attention, outer)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.norm(self.conv1(images))))
        hidden = F.avg_pool2d(hidden, 2) + self.shortcut(self.shortcut_norm(F.avg_pool2d(images, 2)))
        return self.attention(hidden)


class DownBlock(nn.Module):
    """A block norm-ReLU-conv3-norm-ReLU-conv3-pool + conv1-pool: (N, inner, H, W) -> (N, outer, H/2, W/2).

    Without `downsample` it keeps the size, and if it keeps the channels too, its shortcut is the identity. Between the
    convolutions are `inner` channels, or `outer` if it is `wide`. `rectified`: the shortcut starts with ReLU.
    `norm_shortcut`: and with batch norm, if it has a convolution. `attention`: self-attention follows.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        downsample: bool,
        batch_norm: bool,
        rectified: bool = False,
        norm_shortcut: bool = False,
        wide: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.downsample, self.rectified = downsample, rectified
        between = outer if wide else inner
        self.norm1 = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.conv1 = convolution(inner, between, 3, BLOCK_GAIN)
        self.norm2 = nn.BatchNorm2d(between) if batch_norm else nn.Identity()
        self.conv2 = convolution(between, outer, 3, BLOCK_GAIN)
        convolved = downsample or inner != outer
        self.shortcut_norm = nn.BatchNorm2d(inner) if norm_shortcut and convolved else nn.Identity()
        self.shortcut = convolution(inner, outer, 1) if convolved else nn.Identity()
        self.attention = attention_if(attention, outer)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(images)))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        images = self.shortcut_norm(F.relu(images) if self.rectified else images)
        if self.downsample:  # conv1 and pool commute: pooling first is four times cheaper
            hidden, images = F.avg_pool2d(hidden, 2), F.avg_pool2d(images, 2)
        return self.attention(hidden + self.shortcut(images))


class FirstChannels(nn.Module):
    """A cut of (N, inner, H, W) to the first `outer` channels."""

    def __init__(self, outer: int) -> None:
        super().__init__()
        self.outer = outer

    def forward(self, images: Tensor) -> Tensor:
        return images[:, : self.outer]


class MoreChannels(nn.Module):
    """The images and a convolution of them, for outer channels in all: (N, inner, H, W) -> (N, outer, H, W)."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv = convolution(inner, outer - inner, 1)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([images, self.conv(images)], 1)


class DeepUpBlock(nn.Module):
    """The bottleneck norm-ReLU-conv1-norm-ReLU-upsample-conv3-norm-ReLU-conv3-norm-ReLU-conv1 + shortcut.

    (N, inner, H, W) -> (N, outer, 2H, 2W), or (N, outer, H, W) without `upsample`; inside are inner / 4 channels. The
    shortcut is the first `outer` channels, or, if it is `convolved`, a conv1. `attention`: self-attention follows.
    """

    def __init__(
        self, inner: int, outer: int, norm: Norm, upsample: bool, convolved: bool = False, attention: bool = False
    ) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2) if upsample else nn.Identity()
        between = inner // 4
        self.norm1, self.conv1 = norm(inner), convolution(inner, between, 1, BLOCK_GAIN)
        self.norm2, self.conv2 = norm(between), convolution(between, between, 3, BLOCK_GAIN)
        self.norm3, self.conv3 = norm(between), convolution(between, between, 3, BLOCK_GAIN)
        self.norm4, self.conv4 = norm(between), convolution(between, outer, 1, BLOCK_GAIN)
        self.shortcut = convolution(inner, outer, 1) if convolved else FirstChannels(outer)
        self.attention = attention_if(attention, outer)

    def forward(self, images: Tensor, condition: Tensor | None) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(images, condition)))
        hidden = self.conv2(self.upsample(F.relu(self.norm2(hidden, condition))))
        hidden = self.conv3(F.relu(self.norm3(hidden, condition)))
        hidden = self.conv4(F.relu(self.norm4(hidden, condition)))
        return self.attention(hidden + self.upsample(self.shortcut(images)))


class DeepDownBlock(nn.Module):
    """The bottleneck ReLU-conv1-ReLU-conv3-ReLU-conv3-ReLU-pool-conv1 + shortcut.

    (N, inner, H, W) -> (N, outer, H/2, W/2), or (N, outer, H, W) without `downsample`; inside are outer / 4 channels.
    The shortcut pools, and appends a conv1's channels to `inner`. If it is `convolved`, it is a conv1, or the identity
    if nothing changes, and the pool of the bottleneck is before the last ReLU. `rectified`: the shortcut starts with
    ReLU. `attention`: self-attention follows.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        downsample: bool,
        convolved: bool = False,
        rectified: bool = False,
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.downsample, self.convolved, self.rectified = downsample, convolved, rectified
        between = outer // 4
        self.conv1 = convolution(inner, between, 1, BLOCK_GAIN)
        self.conv2 = convolution(between, between, 3, BLOCK_GAIN)
        self.conv3 = convolution(between, between, 3, BLOCK_GAIN)
        self.conv4 = convolution(between, outer, 1, BLOCK_GAIN)
        self.shortcut: nn.Module = nn.Identity()
        if convolved and (downsample or inner != outer):
            self.shortcut = convolution(inner, outer, 1)
        elif inner != outer:
            self.shortcut = MoreChannels(inner, outer)
        self.attention = attention_if(attention, outer)

    def pool(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, 2) if self.downsample else images

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.conv1(F.relu(images))))
        hidden = self.conv3(F.relu(hidden))
        hidden = F.relu(self.pool(hidden)) if self.convolved else self.pool(F.relu(hidden))
        images = self.pool(F.relu(images) if self.rectified else images)
        return self.attention(self.conv4(hidden) + self.shortcut(images))


class ResidualGenerator(Generator):
    """Base of residual generators: a linear layer to maps of `shape`, blocks, then norm-ReLU-conv3.

    A subclass sets `shape` and the layers, and implements `conditions`.
    """

    shape: tuple[int, int, int]
    linear: nn.Linear
    blocks: nn.ModuleList
    norm: nn.Module
    to_image: nn.Conv2d
    output: nn.Module

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        first, conditions = self.conditions(latents, labels)
        images = self.linear(first).view(-1, *self.shape)
        for block, condition in zip(self.blocks, conditions, strict=True):
            images = block(images, condition)
        return self.output(self.to_image(F.relu(self.norm(images, conditions[-1]))))

    @abstractmethod
    def conditions(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, Sequence[Tensor | None]]:
        """Return the input of the linear layer, and the condition of each block; the last norm gets the last one."""


class ResidualDiscriminator(Discriminator):
    """Base of residual discriminators: blocks, ReLU, and a sum, or the mean, over positions.

    A subclass sets `body`, `pooling` and `head`.
    """

    body: nn.Sequential
    pooling: Literal["sum", "mean"] = "sum"

    def features(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        return maps.sum((2, 3)) if self.pooling == "sum" else maps.mean((2, 3))
