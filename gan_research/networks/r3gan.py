"""Config E of R3GAN: Huang et al. 2024, "The GAN is dead; long live the GAN! A modern GAN baseline", section 4.

Nothing is normalised. The last convolution of each block starts at 0, and G ends without a nonlinearity, so that both
networks are linear at first. The paper's sizes, in the arguments of this file, all with 64 latent dimensions:

    data         classes  width  max_width  group_width
    CIFAR-10          10    768        768           16
    FFHQ-64            0    384        768           16
    FFHQ-256           0     96        768           16
    ImageNet-32     1000   1536       1536           32
    ImageNet-64     1000   1536       1536           32
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, cat, empty, nn

from gan_research.networks.base import Discriminator, Generator, base_and_doublings, doubling_widths
from gan_research.networks.fir import Downsample, Upsample
from gan_research.networks.heads import BilinearHead, HeadFactory, LinearHead, make_head
from gan_research.networks.layers import class_rows, output_range
from gan_research.utils.errors import UserError, require
from gan_research.utils.sample_spec import SampleSpec

SLOPE = 0.2
GAIN = (2 / (1 + SLOPE**2)) ** 0.5
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class Block(nn.Module):
    """A block x + conv1(act(conv3(act(conv1(x))))): (N, width, H, W) -> the same shape.

    The inner convolutions have `expansion` x width channels and biases; conv3 is grouped. act: LeakyReLU 0.2. gain:
    that of the inner weights, with GAIN for act.
    """

    def __init__(self, width: int, expansion: int, group_width: int, gain: float) -> None:
        super().__init__()
        inner = expansion * width
        if inner % group_width:
            unit = group_width // math.gcd(expansion, group_width)
            raise UserError(
                f"a block of width {width} has {inner} channels inside, which groups of {group_width} don't divide: "
                f"take widths that {unit} divides, or another group_width"
            )
        self.expand = convolution(width, inner, gain, bias=True)
        self.grouped = convolution(inner, inner, gain, bias=True, kernel=3, groups=inner // group_width)
        self.project = convolution(inner, width, gain=0.0)

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.expand(images), SLOPE)
        hidden = F.leaky_relu(self.grouped(hidden), SLOPE)
        return images + self.project(hidden)


class R3GANGenerator(Generator):
    """A basis times a linear map of the latents, stages of blocks, and conv1.

    The basis (C, b, b) is learned. The resolution is b * 2^n, or a UserError is raised; `base` sets b (None: 4, 6 or
    7, whichever fits). `width`: channels of the last stage; they double towards the latents, up to `max_width`. Between
    stages are conv1, if the widths differ, and upsampling. `blocks`: of each of the n + 1 stages. `expansion`: a
    block's inner channels over its outer ones. `group_width`: channels in a group of conv3. `class_dim`: numbers of a
    class that join the latents.
    Values aren't bounded: those of `value_range` (-1, 1) are mapped linearly to another range.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt = 768,
        max_width: PositiveInt = 768,
        blocks: PositiveInt = 2,
        expansion: PositiveInt = 2,
        group_width: PositiveInt = 16,
        class_dim: PositiveInt = 64,
        base: PositiveInt | None = None,
    ) -> None:
        super().__init__(latent_dim, samples)
        require(1, class_dim=class_dim)
        base, doublings = base_and_doublings(samples.resolution, base)
        widths = doubling_widths(width, max_width, doublings + 1)[::-1]
        if samples.num_classes:
            self.embed = nn.Embedding(samples.num_classes, class_dim)
            nn.init.normal_(self.embed.weight, 0.0, samples.num_classes**-0.5)
            latent_dim += class_dim
        self.linear = initialized(nn.Linear(latent_dim, widths[0], bias=False))
        self.basis = nn.Parameter(empty(widths[0], base, base).normal_())
        stage = stages(len(widths), blocks, expansion, group_width)
        layers = stage(widths[0])
        for i, (inner, outer) in enumerate(pairwise(widths)):
            layers += [*([convolution(inner, outer)] if inner != outer else []), Upsample(base * 2**i), *stage(outer)]
        self.body = nn.Sequential(*layers)
        self.to_image = convolution(width, samples.channels)
        self.output = output_range(samples.value_range, bounded=False)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        if labels is not None:
            latents = cat([latents, class_rows(labels, self.embed.weight).to(latents.dtype)], 1)
        images = self.basis * self.linear(latents)[:, :, None, None]
        return self.output(self.to_image(self.body(images)))


class R3GANDiscriminator(Discriminator):
    """The generator's mirror: conv1, stages of blocks, and the product with a basis.

    Arguments as in the generator. The head has no biases: <w, h>, or <A h, E y> with classes (`BilinearHead`).
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 768,
        max_width: PositiveInt = 768,
        blocks: PositiveInt = 2,
        expansion: PositiveInt = 2,
        group_width: PositiveInt = 16,
        base: PositiveInt | None = None,
        packing: PositiveInt = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        base, doublings = base_and_doublings(samples.resolution, base)
        widths = doubling_widths(width, max_width, doublings + 1)
        self.from_image = convolution(self.packed_channels, width)
        stage = stages(len(widths), blocks, expansion, group_width)
        layers = stage(width)
        for i, (inner, outer) in enumerate(pairwise(widths), start=1):
            down = Downsample(base * 2 ** (doublings - i))
            layers += [down, *([convolution(inner, outer)] if inner != outer else []), *stage(outer)]
        self.body = nn.Sequential(*layers)
        self.basis = nn.Parameter(empty(widths[-1], base, base).normal_(0.0, 1 / base))
        default = BilinearHead if samples.num_classes else LinearHead
        self.head = make_head(widths[-1], samples.num_classes, bias=False, head=head or default)
        for layer in self.head.modules():
            if isinstance(layer, nn.Linear):
                initialized(layer)

    def features(self, images: Tensor) -> Tensor:
        return (self.basis * self.body(self.from_image(images))).sum((2, 3))


def stages(count: int, blocks: int, expansion: int, group_width: int) -> Callable[[int], list[nn.Module]]:
    """Return a function from a width to the blocks of a stage.

    In a network of `count` stages with S blocks, the two inner weights of each block start with the gain S^(-1/4)
    (Zhang et al. 2019, "Fixup initialization").
    """
    require(1, blocks=blocks, expansion=expansion, group_width=group_width)
    gain = GAIN * (count * blocks) ** -0.25
    return lambda width: [Block(width, expansion, group_width, gain) for _ in range(blocks)]


def convolution(
    inner: int, outer: int, gain: float = 1.0, bias: bool = False, kernel: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Return an initialized convolution that keeps the size (odd kernel)."""
    return initialized(nn.Conv2d(inner, outer, kernel, padding=kernel // 2, groups=groups, bias=bias), gain)


def initialized(layer: Layer, gain: float = 1.0) -> Layer:
    """Initialize a layer: its weight from N(0, gain^2 / fan in), its bias 0."""
    nn.init.normal_(layer.weight, 0.0, gain / layer.weight[0].numel() ** 0.5)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
