"""The plain convolutional networks of SNGAN: Miyato et al. 2018, "Spectral normalization for GANs", appendix B.

The widths are those in w86763777/pytorch-gan-collections, source/models/sngan.py, also used for WGAN and WGAN-GP.
"""

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from gan_research.networks.base import Discriminator, Generator, base_and_doublings, doubling_widths, require_one_of
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import WEIGHTED, ConditionalBatchNorm2d, initialize_weights, output_range, spectral
from gan_research.utils.sample_spec import SampleSpec


class CNNGenerator(Generator):
    """A linear layer to b x b, n transposed convolutions, then a convolution.

    The resolution is b * 2^n with b in {4, 6, 7}, or a UserError is raised. Transposed convolutions are 4 x 4 of stride
    2, the last one is 3 x 3. Batch norm, conditional if there are classes, and ReLU precede each. `width`: channels
    before the last; they double towards the latents, up to `max_width`: 512, 256, 128, 64 at 32 x 32.
    """

    def __init__(
        self, latent_dim: int, samples: SampleSpec, width: PositiveInt = 64, max_width: PositiveInt = 512
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
        initialize_weights(self, "normal", 0.02, WEIGHTED)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images = self.linear(latents).view(-1, *self.shape)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            images = conv(F.relu(norm(images, labels)))
        return self.output(images)


class CNNDiscriminator(Discriminator):
    """n pairs of convolutions, then one more, down to b x b features.

    The resolution is b * 2^n with b in {4, 6, 7}, or a UserError is raised. A pair is 3 x 3, then 4 x 4 of stride 2;
    the last one is 3 x 3. LeakyReLU 0.1 follows each. The strided ones double the channels, from `width` up to
    `max_width`: 64, 128, 256, 512 at 32 x 32. `norm="spectral"` normalises every weight, including the head's.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 64,
        max_width: PositiveInt = 512,
        norm: Literal["spectral", "none"] = "spectral",
        packing: PositiveInt = 1,
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
        initialize_weights(self, "normal", 0.02, WEIGHTED)
        if norm == "spectral":
            spectral(self)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images).flatten(1)
