"""The residual networks of WGAN-GP and SNGAN.

Gulrajani et al. 2017, "Improved training of Wasserstein GANs", appendix F; Miyato et al. 2018, "Spectral normalization
for GANs", appendix B.4, whose tables 4 to 6 are, in the arguments of this file:

    table, images        G width  max_width   D width  max_width  downsamples  plain_blocks
    4, CIFAR-10 at 32        256        256       128        128            2             2
    5, STL-10 at 48           64        512        64       1024            4             1
    6, ImageNet at 128        64       1024        64       1024            5             1

The other arguments are where public code goes ways of its own: kwotsin/mimicry (torch_mimicry/modules/resblocks.py,
nets/) upsamples bilinearly; its ReLU in place rectifies what the shortcuts of D carry too; its WGAN-GP takes the mean
over positions. w86763777/pytorch-gan-collections (source/models/sngan.py) has no bias in SNGAN's head.
"""

from itertools import pairwise
from typing import Literal, TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from gan_research.networks.base import (
    Discriminator,
    Generator,
    base_and_doublings,
    doubling_widths,
    require_one_of,
    require_pictures,
)
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import ConditionalBatchNorm2d, output_range, spectral
from gan_research.utils.errors import UserError, require
from gan_research.utils.sample_spec import SampleSpec

Upsampling = Literal["nearest", "bilinear"]
Init = Literal["xavier", "torch_biases", "torch_shortcuts"]
BLOCK_GAIN = 2**0.5
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class NoNorm(nn.Module):
    """In the place of a norm."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images


class UpBlock(nn.Module):
    """norm-ReLU-upsample-conv3-norm-ReLU-conv3, plus upsample-conv1: (N, inner, H, W) -> (N, outer, 2H, 2W)."""

    def __init__(
        self, inner: int, outer: int, num_classes: int, upsampling: Upsampling = "nearest", batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.upsampling = upsampling
        self.norm1 = ConditionalBatchNorm2d(inner, num_classes) if batch_norm else NoNorm()
        self.conv1 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.norm2 = ConditionalBatchNorm2d(outer, num_classes) if batch_norm else NoNorm()
        self.conv2 = convolution(outer, outer, 3, BLOCK_GAIN)
        self.shortcut = convolution(inner, outer, 1)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        hidden = self.conv1(self.upsample(F.relu(self.norm1(images, labels))))
        hidden = self.conv2(F.relu(self.norm2(hidden, labels)))
        return hidden + self.upsample(self.shortcut(images))  # conv1 and it commute: this order is four times cheaper

    def upsample(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2H, 2W)."""
        return F.interpolate(images, scale_factor=2, mode=self.upsampling)


class FirstBlock(nn.Module):
    """conv3-ReLU-conv3-pool, plus pool-conv1: (N, inner, H, W) -> (N, outer, H/2, W/2). No ReLU on pixels, no norm."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.conv1 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.conv2 = convolution(outer, outer, 3, BLOCK_GAIN)
        self.shortcut = convolution(inner, outer, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.conv1(images)))
        return F.avg_pool2d(hidden, 2) + self.shortcut(F.avg_pool2d(images, 2))


class DownBlock(nn.Module):
    """norm-ReLU-conv3-norm-ReLU-conv3-pool, plus conv1-pool: (N, inner, H, W) -> (N, outer, H/2, W/2).

    Without `downsample` it keeps the size, and its shortcut is the identity if it keeps the channels too. `rectified`:
    the shortcut, too, starts from ReLU.
    """

    def __init__(self, inner: int, outer: int, downsample: bool, batch_norm: bool, rectified: bool = False) -> None:
        super().__init__()
        self.downsample, self.rectified = downsample, rectified
        self.norm1 = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.conv1 = convolution(inner, inner, 3, BLOCK_GAIN)
        self.norm2 = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.conv2 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.shortcut = convolution(inner, outer, 1) if downsample or inner != outer else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(images)))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        if self.rectified:
            images = F.relu(images)
        if self.downsample:  # conv1 and pool commute: pooling first is four times cheaper
            hidden, images = F.avg_pool2d(hidden, 2), F.avg_pool2d(images, 2)
        return hidden + self.shortcut(images)


class ResNetGenerator(Generator):
    """Latents to b x b by a linear layer, n up-blocks, then norm-ReLU-conv3; resolution = b * 2^n.

    `width` counts the channels after the last block; they double towards the latents, up to `max_width`. The defaults
    are SNGAN's for CIFAR-10. If conditional, the batch norms are (Miyato & Koyama 2018). `norm="none"` leaves them out,
    and then labels have no way in. `init`: "xavier" is SNGAN's; see `leave_to_torch` for the others.
    UserError if there are no such b in {4, 6, 7} and n.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: int = 256,
        max_width: int = 256,
        upsampling: Upsampling = "nearest",
        init: Init = "xavier",
        norm: Literal["batch", "none"] = "batch",
    ) -> None:
        super().__init__(latent_dim, samples)
        require_one_of(("nearest", "bilinear"), upsampling=upsampling)
        require_one_of(("batch", "none"), norm=norm)
        if norm == "none" and samples.num_classes:
            raise UserError("labels reach this generator by its batch norms: set generator.norm=batch")
        batch_norm = norm == "batch"
        base, doublings = base_and_doublings(samples.resolution)
        widths = doubling_widths(width, max_width, doublings + 1)[::-1]
        self.shape = (widths[0], base, base)
        self.linear = initialized(nn.Linear(latent_dim, widths[0] * base**2))
        self.blocks = nn.ModuleList(
            UpBlock(i, o, samples.num_classes, upsampling, batch_norm) for i, o in pairwise(widths)
        )
        self.norm = ConditionalBatchNorm2d(width, samples.num_classes) if batch_norm else NoNorm()
        self.to_image = convolution(width, samples.channels, 3)
        self.output = output_range(samples.value_range)
        leave_to_torch(self, init)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images = self.linear(latents).view(-1, *self.shape)
        for block in self.blocks:
            images = block(images, labels)
        return self.output(self.to_image(F.relu(self.norm(images, labels))))


class ResNetDiscriminator(Discriminator):
    """`downsamples` blocks that halve the size, `plain_blocks` that keep it, then ReLU, and the sum over all positions.

    Channels start at `width` and double each block up to `max_width`. `downsamples=None` goes down to b x b, where
    resolution = b * 2^n with b in {4, 6, 7}. `norm="batch"` normalises before both convolutions of every block but the
    first; "spectral" normalises every weight, the head's too. SNGAN's for CIFAR-10 is downsamples=2, plain_blocks=2.
    `pooling`: the sum, or the mean. `rectified_shortcuts`: those after the first block start from ReLU. `head_bias`:
    whether the head has one. `init`: as the generator's. UserError if the resolution cannot be halved that
    often.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: int = 128,
        max_width: int = 128,
        downsamples: int | None = None,
        plain_blocks: int = 1,
        norm: Literal["spectral", "batch", "none"] = "spectral",
        pooling: Literal["sum", "mean"] = "sum",
        rectified_shortcuts: bool = False,
        head_bias: bool = True,
        init: Init = "xavier",
        packing: int = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        resolution = require_pictures(samples.resolution)
        halvings = base_and_doublings(samples.resolution)[1] if downsamples is None else downsamples
        require(1, downsamples=halvings)
        require(0, plain_blocks=plain_blocks)
        require_one_of(("spectral", "batch", "none"), norm=norm)
        require_one_of(("sum", "mean"), pooling=pooling)
        if resolution % 2**halvings:
            most = (resolution & -resolution).bit_length() - 1
            raise UserError(f"resolution {resolution} cannot be halved {halvings} times: take downsamples <= {most}")
        widths = doubling_widths(width, max_width, halvings + plain_blocks)
        blocks: list[nn.Module] = [FirstBlock(self.packed_channels, width)]
        for i, (inner, outer) in enumerate(pairwise(widths), start=1):
            blocks.append(DownBlock(inner, outer, i < halvings, norm == "batch", rectified_shortcuts))
        self.pooling = pooling
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.head = make_head(widths[-1], samples.num_classes, head_bias, head=head)
        for layer in self.head.modules():
            if isinstance(layer, nn.Linear):
                initialized(layer)
        leave_to_torch(self, init)
        if norm == "spectral":
            spectral(self)

    def features(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        return maps.sum((2, 3)) if self.pooling == "sum" else maps.mean((2, 3))


def convolution(inner: int, outer: int, kernel: int, gain: float = 1.0) -> nn.Conv2d:
    """A convolution, odd kernel, that keeps the size: Xavier uniform with `gain`, as in SNGAN's code, and bias 0."""
    return initialized(nn.Conv2d(inner, outer, kernel, padding=kernel // 2), gain)


def initialized(layer: Layer, gain: float = 1.0) -> Layer:
    """The layer, its weight Xavier uniform with `gain` (sqrt 2 inside blocks, 1 elsewhere), its bias 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def leave_to_torch(network: nn.Module, init: Init) -> None:
    """Give some of what `initialized` has set back to torch's own uniform initialisation, +-1/sqrt(fan in).

    "torch_biases": all biases, as in mimicry's SNGAN; "torch_shortcuts": besides, the weights of shortcuts and of the
    last convolution of G, as in its WGAN-GP; "xavier": nothing.
    """
    require_one_of(("xavier", "torch_biases", "torch_shortcuts"), init=init)
    if init == "xavier":
        return
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach().clone()
            layer.reset_parameters()
            if init == "torch_biases" or not name.endswith(("shortcut", "to_image")):
                layer.weight.data.copy_(weight)
