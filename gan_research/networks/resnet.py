"""The residual networks of WGAN-GP and SNGAN.

Gulrajani et al. 2017, "Improved training of Wasserstein GANs", appendix F; Miyato et al. 2018, "Spectral normalization
for GANs", appendix B.4, whose tables 4 to 6 are, in the arguments of this file:

    table, images        G width  max_width   D width  max_width  downsamples  plain_blocks
    4, CIFAR-10 at 32        256        256       128        128            2             2
    5, STL-10 at 48           64        512        64       1024            4             1
    6, ImageNet at 128        64       1024        64       1024            5             1

The other arguments reproduce public code: kwotsin/mimicry (torch_mimicry/modules/resblocks.py, nets/) upsamples
bilinearly; its in-place ReLU also rectifies the shortcuts of D; its WGAN-GP takes the mean over positions.
POSTECH-CVLab/PyTorch-StudioGAN (src/models/resnet.py, utils/ops.py) starts orthogonal; its in-place ReLU rectifies the
shortcuts of D with spectral norm only; without, D has batch norms in all blocks and before convolutions of shortcuts.
w86763777/pytorch-gan-collections (source/models/sngan.py) has no bias in SNGAN's head.
"""

from itertools import pairwise
from typing import Literal, TypeVar, get_args

import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.networks.base import (
    Discriminator,
    Generator,
    base_and_doublings,
    doubling_widths,
    require_one_of,
    require_resolution,
)
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import (
    WEIGHTED,
    ConditionalBatchNorm2d,
    initialize_weights,
    output_range,
    spectral,
)
from gan_research.utils.errors import UserError, require
from gan_research.utils.sample_spec import SampleSpec

Upsampling = Literal["nearest", "bilinear"]
Init = Literal["xavier", "torch_biases", "torch_shortcuts", "orthogonal"]
BLOCK_GAIN = 2**0.5
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class NoNorm(nn.Module):
    """The identity, with the signature of `ConditionalBatchNorm2d`."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return images


class UpBlock(nn.Module):
    """A block norm-ReLU-upsample-conv3-norm-ReLU-conv3 + upsample-conv1: (N, inner, H, W) -> (N, outer, 2H, 2W)."""

    def __init__(
        self, inner: int, outer: int, num_classes: int, upsampling: Upsampling = "nearest", batch_norm: bool = True
    ) -> None:
        super().__init__()
        self.upsample = nn.Upsample(scale_factor=2, mode=upsampling)
        self.norm1 = ConditionalBatchNorm2d(inner, num_classes) if batch_norm else NoNorm()
        self.conv1 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.norm2 = ConditionalBatchNorm2d(outer, num_classes) if batch_norm else NoNorm()
        self.conv2 = convolution(outer, outer, 3, BLOCK_GAIN)
        self.shortcut = convolution(inner, outer, 1)

    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        hidden = self.conv1(self.upsample(F.relu(self.norm1(images, labels))))
        hidden = self.conv2(F.relu(self.norm2(hidden, labels)))
        return hidden + self.upsample(self.shortcut(images))  # they commute: this order is four times cheaper


class FirstBlock(nn.Module):
    """A block conv3-norm-ReLU-conv3-pool + pool-norm-conv1: (N, inner, H, W) -> (N, outer, H/2, W/2).

    There is no ReLU on pixels.
    """

    def __init__(self, inner: int, outer: int, batch_norm: bool = False) -> None:
        super().__init__()
        self.conv1 = convolution(inner, outer, 3, BLOCK_GAIN)
        self.norm = nn.BatchNorm2d(outer) if batch_norm else nn.Identity()
        self.conv2 = convolution(outer, outer, 3, BLOCK_GAIN)
        self.shortcut_norm = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.shortcut = convolution(inner, outer, 1)

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv2(F.relu(self.norm(self.conv1(images))))
        return F.avg_pool2d(hidden, 2) + self.shortcut(self.shortcut_norm(F.avg_pool2d(images, 2)))


class DownBlock(nn.Module):
    """A block norm-ReLU-conv3-norm-ReLU-conv3-pool + conv1-pool: (N, inner, H, W) -> (N, outer, H/2, W/2).

    Without `downsample` it keeps the size, and if it keeps the channels too, its shortcut is the identity. `rectified`:
    the shortcut starts with ReLU. `norm_shortcut`: and with batch norm, if it has a convolution.
    """

    def __init__(
        self,
        inner: int,
        outer: int,
        downsample: bool,
        batch_norm: bool,
        rectified: bool = False,
        norm_shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.downsample, self.rectified = downsample, rectified
        self.norm1 = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.conv1 = convolution(inner, inner, 3, BLOCK_GAIN)
        self.norm2 = nn.BatchNorm2d(inner) if batch_norm else nn.Identity()
        self.conv2 = convolution(inner, outer, 3, BLOCK_GAIN)
        convolved = downsample or inner != outer
        self.shortcut_norm = nn.BatchNorm2d(inner) if norm_shortcut and convolved else nn.Identity()
        self.shortcut = convolution(inner, outer, 1) if convolved else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv1(F.relu(self.norm1(images)))
        hidden = self.conv2(F.relu(self.norm2(hidden)))
        images = self.shortcut_norm(F.relu(images) if self.rectified else images)
        if self.downsample:  # conv1 and pool commute: pooling first is four times cheaper
            hidden, images = F.avg_pool2d(hidden, 2), F.avg_pool2d(images, 2)
        return hidden + self.shortcut(images)


class ResNetGenerator(Generator):
    """A linear layer to b x b, n up-blocks, then norm-ReLU-conv3.

    The resolution is b * 2^n with b in {4, 6, 7}, or a UserError is raised. `width`: channels after the last block;
    they double towards the latents, up to `max_width`. The defaults are SNGAN's for CIFAR-10. Batch norms are
    conditional if there are classes (Miyato & Koyama 2018), the last one only with `condition_last_norm`; `norm="none"`
    allows no classes. `init`: "xavier" is SNGAN's; see `reset_init` for the others. `norm_eps`: of batch norms.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt = 256,
        max_width: PositiveInt = 256,
        upsampling: Upsampling = "nearest",
        init: Init = "xavier",
        norm: Literal["batch", "none"] = "batch",
        norm_eps: PositiveFloat = 1e-5,
        condition_last_norm: bool = True,
    ) -> None:
        super().__init__(latent_dim, samples)
        require_one_of(("nearest", "bilinear"), upsampling=upsampling)
        require_one_of(("batch", "none"), norm=norm)
        if norm == "none" and samples.num_classes:
            raise UserError("only the batch norms of this generator use labels: set generator.norm=batch")
        batch_norm = norm == "batch"
        base, doublings = base_and_doublings(samples.resolution)
        widths = doubling_widths(width, max_width, doublings + 1)[::-1]
        self.shape = (widths[0], base, base)
        self.linear = initialized(nn.Linear(latent_dim, widths[0] * base**2))
        blocks = [UpBlock(i, o, samples.num_classes, upsampling, batch_norm) for i, o in pairwise(widths)]
        self.blocks = nn.ModuleList(blocks)
        last_classes = samples.num_classes if condition_last_norm else 0
        self.norm = ConditionalBatchNorm2d(width, last_classes) if batch_norm else NoNorm()
        self.to_image = convolution(width, samples.channels, 3)
        self.output = output_range(samples.value_range)
        reset_init(self, init)
        set_batch_norm_eps(self, norm_eps)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images = self.linear(latents).view(-1, *self.shape)
        for block in self.blocks:
            images = block(images, labels)
        return self.output(self.to_image(F.relu(self.norm(images, labels))))


class ResNetDiscriminator(Discriminator):
    """`downsamples` blocks that halve the size, `plain_blocks` others, ReLU, and a sum over positions.

    Channels start at `width` and double each block up to `max_width`. `downsamples=None` goes down to b x b, where
    resolution = b * 2^n with b in {4, 6, 7}; a UserError is raised if it can't be halved so often. `norm="batch"`
    normalises before both convolutions of every block but the first, "batch_all" also in the first and before
    convolutions of shortcuts; "spectral" normalises every weight, including the head's. `norm_eps`: of either norm
    (None: torch's, 1e-5 and 1e-12). SNGAN's for CIFAR-10 is downsamples=2, plain_blocks=2. `pooling`: the sum or the
    mean over positions. `rectified_shortcuts`: shortcuts after the first block start with ReLU. `init`: as in G.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 128,
        max_width: PositiveInt = 128,
        downsamples: PositiveInt | None = None,
        plain_blocks: NonNegativeInt = 1,
        norm: Literal["spectral", "batch", "batch_all", "none"] = "spectral",
        pooling: Literal["sum", "mean"] = "sum",
        rectified_shortcuts: bool = False,
        head_bias: bool = True,
        init: Init = "xavier",
        packing: PositiveInt = 1,
        head: HeadFactory | None = None,
        norm_eps: PositiveFloat | None = None,
    ) -> None:
        super().__init__(samples, packing)
        resolution = require_resolution(samples.resolution)
        halvings = base_and_doublings(samples.resolution)[1] if downsamples is None else downsamples
        require(1, downsamples=halvings)
        require(0, plain_blocks=plain_blocks)
        require_one_of(("spectral", "batch", "batch_all", "none"), norm=norm)
        require_one_of(("sum", "mean"), pooling=pooling)
        if resolution % 2**halvings:
            most = (resolution & -resolution).bit_length() - 1
            raise UserError(f"resolution {resolution} cannot be halved {halvings} times: take downsamples <= {most}")
        widths = doubling_widths(width, max_width, halvings + plain_blocks)
        batch_norm, everywhere = norm.startswith("batch"), norm == "batch_all"
        blocks: list[nn.Module] = [FirstBlock(self.packed_channels, width, everywhere)]
        for i, (inner, outer) in enumerate(pairwise(widths), start=1):
            blocks.append(DownBlock(inner, outer, i < halvings, batch_norm, rectified_shortcuts, everywhere))
        self.pooling = pooling
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.head = make_head(widths[-1], samples.num_classes, head_bias, head=head)
        for layer in self.head.modules():
            if isinstance(layer, nn.Linear):
                initialized(layer)
        reset_init(self, init)
        if norm == "spectral":
            spectral(self, norm_eps or 1e-12)
        set_batch_norm_eps(self, norm_eps or 1e-5)

    def features(self, images: Tensor) -> Tensor:
        maps = self.body(images)
        return maps.sum((2, 3)) if self.pooling == "sum" else maps.mean((2, 3))


def convolution(inner: int, outer: int, kernel: int, gain: float = 1.0) -> nn.Conv2d:
    """Return a convolution that keeps the size (odd kernel), initialized as in SNGAN's code."""
    return initialized(nn.Conv2d(inner, outer, kernel, padding=kernel // 2), gain)


def initialized(layer: Layer, gain: float = 1.0) -> Layer:
    """Initialize a layer: its weight Xavier uniform with `gain` (sqrt 2 inside blocks, 1 elsewhere), its bias 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def reset_init(network: nn.Module, init: Init) -> None:
    """Reset parameters from Xavier to another initialization.

    "orthogonal": all weights, embeddings, and gains - 1 and biases of conditional batch norms, as in StudioGAN;
    "torch_biases": all biases to torch's own uniform within +-1/sqrt(fan in), as in mimicry's SNGAN; "torch_shortcuts":
    so, and the weights of shortcuts and of the last convolution of G, as in its WGAN-GP; "xavier": none.
    """
    require_one_of(get_args(Init), init=init)
    if init == "orthogonal":
        initialize_weights(network, init, 1.0, WEIGHTED)
        for layer in network.modules():
            if isinstance(layer, ConditionalBatchNorm2d) and layer.conditional:
                nn.init.orthogonal_(layer.gain).data.add_(1.0)
                nn.init.orthogonal_(layer.bias)
    if not init.startswith("torch"):
        return
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach().clone()
            layer.reset_parameters()
            if init == "torch_biases" or not name.endswith(("shortcut", "to_image")):
                layer.weight.data.copy_(weight)


def set_batch_norm_eps(network: nn.Module, eps: float) -> None:
    """Set the number that all batch norms add to variances."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = eps
