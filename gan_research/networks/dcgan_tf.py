"""The DCGAN of carpedm20/DCGAN-tensorflow (model.py, ops.py), used by PacGAN and others.

Four 5 x 5 layers of stride 2 with TensorFlow's padding="SAME" at any resolution: 28, 14, 7, 4, 2 at 28 x 28.
"""

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from gan_research.networks.base import Discriminator, Generator, require_resolution
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import ConditionalBatchNorm2d, initialize_weights, output_range
from gan_research.utils.errors import require
from gan_research.utils.sample_spec import SampleSpec

KERNEL, STD = 5, 0.02


class SameConv2d(nn.Conv2d):
    """A convolution of stride 2 with padding="SAME": (N, inner, size, size) -> (N, outer, ceil(size/2), ...).

    If the number of zeros is odd, one more is appended than prepended. Weights are from N(0, 0.02^2), truncated at two
    standard deviations; biases are 0.
    """

    def __init__(self, inner: int, outer: int, size: int) -> None:
        super().__init__(inner, outer, KERNEL, stride=2)
        before, after = same_padding(size)
        self.zeros = (before, after, before, after)
        nn.init.trunc_normal_(self.weight, 0.0, STD, -2 * STD, 2 * STD)
        assert self.bias is not None
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(F.pad(input, self.zeros))


class SameConvTranspose2d(nn.ConvTranspose2d):
    """The transpose of `SameConv2d`: (N, inner, ceil(size/2), ...) -> (N, outer, size, size); weights N(0, 0.02^2)."""

    def __init__(self, inner: int, outer: int, size: int) -> None:
        super().__init__(inner, outer, KERNEL, stride=2, padding=same_padding(size)[0])
        self.size = size
        initialize_weights(self, "normal", STD, (nn.ConvTranspose2d,))

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(input, output_size)[:, :, : self.size, : self.size]


class TFDCGANGenerator(Generator):
    """A linear layer to s x s, then four transposed convolutions.

    Batch norm, conditional if there are classes, and ReLU precede each. `width`: channels before the last; they double
    three times towards the latents. `tanh`: the output is tanh for any value range, as in PacGAN's code, whose images
    are in [0, 1]; stored images are clamped to the range.
    """

    def __init__(self, latent_dim: int, samples: SampleSpec, width: PositiveInt = 64, tanh: bool = False) -> None:
        super().__init__(latent_dim, samples)
        require(1, width=width)
        sizes = halved(samples.resolution)[::-1]
        widths = [8 * width, 4 * width, 2 * width, width]
        self.shape = (widths[0], sizes[0], sizes[0])
        self.linear = nn.Linear(latent_dim, widths[0] * sizes[0] ** 2)
        initialize_weights(self.linear, "normal", STD)
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(w, samples.num_classes) for w in widths)
        outer = [*widths[1:], samples.channels]
        self.convs = nn.ModuleList(SameConvTranspose2d(*io) for io in zip(widths, outer, sizes[1:], strict=True))
        self.output = nn.Tanh() if tanh else output_range(samples.value_range)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images = self.linear(latents).view(-1, *self.shape)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            images = conv(F.relu(norm(images, labels)))
        return self.output(images)


class TFDCGANDiscriminator(Discriminator):
    """The generator's mirror, with LeakyReLU 0.2, and batch norm on all convolutions but the first."""

    def __init__(
        self, samples: SampleSpec, width: PositiveInt = 64, packing: PositiveInt = 1, head: HeadFactory | None = None
    ) -> None:
        super().__init__(samples, packing)
        require(1, width=width)
        sizes = halved(samples.resolution)
        widths = [self.packed_channels, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for i, size in enumerate(sizes[:-1]):
            layers.append(SameConv2d(widths[i], widths[i + 1], size))
            if i > 0:
                layers.append(nn.BatchNorm2d(widths[i + 1]))
            layers.append(nn.LeakyReLU(0.2))
        self.body = nn.Sequential(*layers)
        self.head = make_head(widths[-1] * sizes[-1] ** 2, samples.num_classes, head=head)
        initialize_weights(self.head, "normal", STD)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images).flatten(1)


def same_padding(size: int) -> tuple[int, int]:
    """Return the zeros before and after: max((ceil(size/2) - 1) 2 + kernel - size, 0) in total, an odd one after."""
    total = max((-(-size // 2) - 1) * 2 + KERNEL - size, 0)
    return total // 2, total - total // 2


def halved(resolution: int | None) -> list[int]:
    """Return the resolution and its four halves, rounded up: 28, 14, 7, 4, 2."""
    sizes = [require_resolution(resolution)]
    for _ in range(4):
        sizes.append(-(-sizes[-1] // 2))
    return sizes
