"""DCGAN: Radford, Metz & Chintala 2015, "Unsupervised representation learning with deep convolutional GANs"."""

from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from pydantic import PositiveInt
from torch import Tensor, nn

from gan_research.networks.base import Discriminator, Generator, base_and_doublings, doubling_widths, require_one_of
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import WEIGHTED, ConditionalBatchNorm2d, output_range, spectral
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

Init = Literal["normal", "torch"]


class DCGANGenerator(Generator):
    """n + 1 transposed convolutions: to b x b, then 4 x 4 of stride 2.

    The resolution is b * 2^n, or a UserError is raised; `base` sets b (None: 4, 6 or 7, whichever fits). Batch norm,
    conditional if there are classes, and ReLU follow each but the last. `width`: channels before the last; they double
    towards the latents, up to `max_width`: 512, 256, 128, 64 at 64 x 64. (Figure 1 of the paper is width=128,
    max_width=1024.) `last_bias`: the last convolution has a bias; the others have none. `init`: "normal", as in the
    paper, or "torch", torch's defaults.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt = 64,
        max_width: PositiveInt = 512,
        base: PositiveInt | None = None,
        last_bias: bool = True,
        init: Init = "normal",
    ) -> None:
        super().__init__(latent_dim, samples)
        base, doublings = base_and_doublings(samples.resolution, base)
        widths = doubling_widths(width, max_width, doublings)[::-1]
        first = nn.ConvTranspose2d(latent_dim, widths[0], base, bias=False)
        ups = [nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=False) for i, o in pairwise(widths)]
        self.convs = nn.ModuleList([first, *ups])
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(w, samples.num_classes) for w in widths)
        self.to_image = nn.ConvTranspose2d(widths[-1], samples.channels, 4, stride=2, padding=1, bias=last_bias)
        self.output = output_range(samples.value_range)
        initialize(self, init)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images = latents[:, :, None, None]
        for conv, norm in zip(self.convs, self.norms, strict=True):
            images = F.relu(norm(conv(images), labels))
        return self.output(self.to_image(images))


class DCGANDiscriminator(Discriminator):
    """The generator's mirror: n convolutions of stride 2, 4 x 4, with LeakyReLU 0.2, to b x b features.

    `width`: channels after the first; they double up to `max_width`: 64, 128, 256, 512 at 64 x 64. `norm="batch"` is
    the paper's, on all layers but the first; "spectral" normalises every weight, including the head's. `base`, `init`:
    as in the generator. `kernel`: 5 pads by 2. `norm_first`: batch norm before or after LeakyReLU. `bias`: convolutions
    without batch norm have a bias.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 64,
        max_width: PositiveInt = 512,
        norm: Literal["batch", "spectral", "none"] = "batch",
        base: PositiveInt | None = None,
        kernel: Literal[4, 5] = 4,
        norm_first: bool = True,
        bias: bool = True,
        init: Init = "normal",
        packing: PositiveInt = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        require_one_of(("batch", "spectral", "none"), norm=norm)
        if kernel not in (4, 5):
            raise UserError(f"kernel is {kernel}: take 4 or 5")
        base, doublings = base_and_doublings(samples.resolution, base)
        widths = doubling_widths(width, max_width, doublings)
        layers: list[nn.Module] = []
        for i, (inner, outer) in enumerate(pairwise([self.packed_channels, *widths])):
            batch_norm = norm == "batch" and i > 0
            layers.append(nn.Conv2d(inner, outer, kernel, 2, (kernel - 1) // 2, bias=bias and not batch_norm))
            after = [nn.BatchNorm2d(outer), nn.LeakyReLU(0.2)] if batch_norm else [nn.LeakyReLU(0.2)]
            layers += after if norm_first else after[::-1]
        self.body = nn.Sequential(*layers)
        self.head = make_head(widths[-1] * base**2, samples.num_classes, head=head)
        initialize(self, init)
        if norm == "spectral":
            spectral(self)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images).flatten(1)


def initialize(network: nn.Module, init: Init) -> None:
    """Initialize every layer if `init` is "normal"; "torch" leaves torch's weights.

    Weights are from N(0, 0.02^2) (section 4 of the paper), batch norm gains from N(1, 0.02^2) (its code), biases are 0.
    """
    require_one_of(("normal", "torch"), init=init)
    if init == "torch":
        return
    for module in network.modules():
        if isinstance(module, WEIGHTED):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.02)
        elif isinstance(module, ConditionalBatchNorm2d) and module.conditional:
            nn.init.normal_(module.gain, 1.0, 0.02)
        if isinstance(bias := getattr(module, "bias", None), Tensor):
            nn.init.zeros_(bias)
