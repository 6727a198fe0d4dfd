"""The plain convolutional networks of SNGAN: Miyato et al. 2018, "Spectral normalization for GANs", appendix B.

In the widths of w86763777/pytorch-gan-collections, source/models/sngan.py, which plays WGAN and WGAN-GP by them too.
"""

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from gan_research.networks.base import Discriminator, Generator, base_and_doublings, doubling_widths, require_one_of
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import WEIGHTED, ConditionalBatchNorm2d, output_range, spectral
from gan_research.utils.sample_spec import SampleSpec


class CNNGenerator(Generator):
    """Latents to b x b by a linear layer, n transposed convolutions (4, stride 2), then a convolution 3; size b * 2^n.

    Batch norm and ReLU precede each convolution. `width` counts the channels before the last; they double towards the
    latents, up to `max_width`: 512, 256, 128, 64 at 32 x 32. If conditional, the batch norms are. UserError if there
    are no such b in {4, 6, 7} and n.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: int = 64,
        max_width: int = 512,
    ) -> None:
        super().__init__(latent_dim, samples)
        base, doublings = base_and_doublings(samples.resolution)
        widths = doubling_widths(width, max_width, doublings + 1)[::-1]
        self.shape = (widths[0], base, base)
        self.linear = nn.Linear(latent_dim, widths[0] * base**2)
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(w, samples.num_classes) for w in widths)
        ups = [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1) for i, o in pairwise(widths)]
        self.convs = nn.ModuleList([*ups, nn.Conv2d(widths[-1], samples.channels, 3, padding=1)])
        self.output = output_range(samples.value_range)
        self.apply(initialize)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images = self.linear(latents).view(-1, *self.shape)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            images = conv(F.relu(norm(images, labels)))
        return self.output(images)


class CNNDiscriminator(Discriminator):
    """n times convolution 3 and convolution 4 of stride 2, and convolution 3, each with LeakyReLU 0.1, down to b x b.

    The strided ones double the channels, from `width` up to `max_width`: 64, 128, 256, 512 at 32 x 32; the values at
    the end are features. `norm="spectral"` normalises every weight, the head's too; there is no batch norm. UserError
    if the resolution is not b * 2^n with b in {4, 6, 7} and n >= 1.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: int = 64,
        max_width: int = 512,
        norm: Literal["spectral", "none"] = "spectral",
        packing: int = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        require_one_of(("spectral", "none"), norm=norm)
        base, doublings = base_and_doublings(samples.resolution)
        widths = doubling_widths(width, max_width, doublings + 1)
        layers: list[nn.Module] = [nn.Conv2d(self.packed_channels, width, 3, padding=1), nn.LeakyReLU(0.1)]
        for inner, outer in pairwise(widths):
            layers += [nn.Conv2d(inner, outer, 4, stride=2, padding=1), nn.LeakyReLU(0.1)]
            layers += [nn.Conv2d(outer, outer, 3, padding=1), nn.LeakyReLU(0.1)]
        self.body = nn.Sequential(*layers)
        self.head = make_head(widths[-1] * base**2, samples.num_classes, head=head)
        self.apply(initialize)
        if norm == "spectral":
            spectral(self)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images).flatten(1)


def initialize(module: nn.Module) -> None:
    """Weights from N(0, 0.02^2), biases 0; batch norms as torch has them."""
    if isinstance(module, WEIGHTED):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)
