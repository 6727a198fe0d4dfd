"""Layers with an equalized learning rate, and the mapping network made of them.

Karras et al. 2018, "Progressive growing of GANs for improved quality, stability, and variation", section 4.1: weights
start from N(0, 1) and are scaled when they are used, so that Adam's steps are as large for all layers.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch.nn.functional as F
from torch import Tensor, autocast, cat, full, nn, randn
from torch.amp import is_autocast_available

from gan_research.networks.fir import Blur
from gan_research.networks.layers import class_rows

SLOPE, GAIN = 0.2, 2**0.5


class Equalized(nn.Module):
    """Base of layers act(c (m W x / sqrt(fan in) + m b)), with W from N(0, 1 / m^2) at first.

    shape: that of W. bias: the first value of m b; None: no b. multiplier: m, that of the learning rate. activate: act
    is LeakyReLU 0.2, and c is `gain` x sqrt(2), else `gain`.
    """

    def __init__(
        self, shape: tuple[int, ...], bias: float | None, multiplier: float, activate: bool, gain: float
    ) -> None:
        super().__init__()
        self.activate, self.bias_scale = activate, multiplier * gain * (GAIN if activate else 1.0)
        self.weight = nn.Parameter(randn(shape) / multiplier)
        self.bias = None if bias is None else nn.Parameter(full(shape[:1], bias / multiplier))
        self.weight_scale = self.bias_scale * self.weight[0].numel() ** -0.5

    def scaled(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight and the bias as they are used; the gain of the activation is in them."""
        return self.weight * self.weight_scale, None if self.bias is None else self.bias * self.bias_scale

    def activated(self, outputs: Tensor) -> Tensor:
        return F.leaky_relu(outputs, SLOPE) if self.activate else outputs


class EqualizedLinear(Equalized):
    """Vectors (N, inner) -> (N, outer); arguments as in `Equalized`."""

    def __init__(
        self, inner: int, outer: int, bias: float | None = 0.0, multiplier: float = 1.0, activate: bool = False
    ) -> None:
        super().__init__((outer, inner), bias, multiplier, activate, 1.0)

    def forward(self, vectors: Tensor) -> Tensor:
        return self.activated(F.linear(vectors, *self.scaled()))

    def of_classes(self, labels: Tensor) -> Tensor:
        """Return the layer's outputs for one-hot vectors, or mixtures; labels: as in `class_rows`."""
        weight, bias = self.scaled()
        rows = class_rows(labels, weight.T)
        return self.activated(rows if bias is None else rows + bias)


class EqualizedConv(Equalized):
    """Images (N, inner, H, W) -> (N, outer, H, W), or (N, outer, H/2, W/2) if it is `down`, for even H and W.

    Then a blur precedes the convolution of stride 2. clamp: the largest output, in units of `gain`.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        kernel: int,
        bias: float | None = 0.0,
        activate: bool = True,
        gain: float = 1.0,
        down: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__((outer, inner, kernel, kernel), bias, 1.0, activate, gain)
        self.blur = Blur((kernel + 1) // 2) if down else nn.Identity()
        self.stride, self.padding = (2, 0) if down else (1, kernel // 2)
        self.clamp = None if clamp is None else clamp * gain

    def forward(self, images: Tensor) -> Tensor:
        outputs = F.conv2d(self.blur(images), *self.scaled(), self.stride, self.padding)
        return clamped(self.activated(outputs), self.clamp)


class Mapping(nn.Module):
    """The mapping network: latents (N, latent_dim), labels, or both -> w (N, size), in float32 also under autocast.

    Latents, and the embedding of classes (N, size), which comes after them, are divided by the root of their mean
    square. `layers` linear layers with LeakyReLU 0.2 follow, whose learning rate is 0.01 of the others. latent_dim,
    num_classes: 0 if there are none. labels: as in `class_rows`.
    """

    def __init__(self, latent_dim: int, num_classes: int, size: int, layers: int) -> None:
        super().__init__()
        self.embed = EqualizedLinear(num_classes, size) if num_classes else None
        sizes = [latent_dim + (size if num_classes else 0), *[size] * (layers - 1)]
        self.layers = nn.Sequential(*(EqualizedLinear(inner, size, multiplier=0.01, activate=True) for inner in sizes))

    def forward(self, latents: Tensor | None, labels: Tensor | None) -> Tensor:
        inputs = [] if latents is None else [latents]
        with without_autocast(next(self.parameters())):
            if self.embed is not None and labels is not None:
                inputs.append(self.embed.of_classes(labels))
            return self.layers(cat([x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt() for x in inputs], 1))


def clamped(outputs: Tensor, largest: float | None) -> Tensor:
    """Return outputs kept within +-largest, or as they are if it is None."""
    return outputs if largest is None else outputs.clamp(-largest, largest)


def without_autocast(tensor: Tensor) -> AbstractContextManager[Any]:
    """Return a context in which operations on the tensor's device keep the precision of their inputs."""
    kind = tensor.device.type
    return autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext()
