"""The residual networks of WGAN-GP, SNGAN and SAGAN.

Gulrajani et al. 2017, "Improved training of Wasserstein GANs", appendix F; Miyato et al. 2018, "Spectral normalization
for GANs", appendix B.4, whose tables 4 to 6 are, in the arguments of this file:

    table, images        G width  max_width   D width  max_width  downsamples  plain_blocks
    4, CIFAR-10 at 32        256        256       128        128            2             2
    5, STL-10 at 48           64        512        64       1024            4             1
    6, ImageNet at 128        64       1024        64       1024            5             1

SAGAN (Zhang et al. 2019) is the third with self-attention at 32, spectral norm in G too, and wide blocks in D.

The other arguments reproduce public code: kwotsin/mimicry (torch_mimicry/modules/resblocks.py, nets/) upsamples
bilinearly; its in-place ReLU also rectifies the shortcuts of D; its WGAN-GP takes the mean over positions.
POSTECH-CVLab/PyTorch-StudioGAN (src/models/resnet.py, utils/ops.py) starts orthogonal; its in-place ReLU rectifies the
shortcuts of D with spectral norm only; without, D has batch norms in all blocks and before convolutions of shortcuts.
ajbrock/BigGAN-PyTorch (BigGAN.py without shared embedding) has SAGAN with attention at 64 and torch's biases.
w86763777/pytorch-gan-collections (source/models/sngan.py) has no bias in SNGAN's head.
"""

from functools import partial
from itertools import pairwise
from typing import Literal, get_args

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.networks.attention import attention_places
from gan_research.networks.base import (
    base_and_doublings,
    doubling_widths,
    halvings,
    require_one_of,
    require_resolution,
)
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import (
    WEIGHTED,
    ConditionalBatchNorm2d,
    VectorBatchNorm2d,
    class_weights,
    convolution,
    initialize_weights,
    initialized,
    output_range,
    reset_biases,
    set_batch_norm_eps,
    spectral,
)
from gan_research.networks.residual import (
    DownBlock,
    FirstBlock,
    NoNorm,
    Norm,
    ResidualDiscriminator,
    ResidualGenerator,
    UpBlock,
    Upsampling,
)
from gan_research.utils.errors import UserError, require
from gan_research.utils.sample_spec import SampleSpec

Init = Literal["xavier", "torch_biases", "torch_shortcuts", "orthogonal"]


class ResNetGenerator(ResidualGenerator):
    """A linear layer to b x b, n up-blocks, then norm-ReLU-conv3.

    The resolution is b * 2^n with b in {4, 6, 7}, or a UserError is raised. `width`: channels after the last block;
    they double towards the latents, up to `max_width`. The defaults are SNGAN's for CIFAR-10. Batch norms are
    conditional if there are classes (Miyato & Koyama 2018), the last one only with `condition_last_norm`; `norm="none"`
    allows no classes. `init`: "xavier" is SNGAN's; see `reset_init` for the others. `norm_eps`: of batch norms.
    `attention`: the resolutions at which self-attention follows. `spectral_norm`: of no weights, of "layers", or of
    "all", with the gains - 1 and biases of conditional batch norms, as in StudioGAN; `spectral_eps`: its eps.
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
        attention: tuple[PositiveInt, ...] = (),
        spectral_norm: Literal["none", "layers", "all"] = "none",
        spectral_eps: PositiveFloat = 1e-12,
    ) -> None:
        super().__init__(latent_dim, samples)
        require_one_of(("nearest", "bilinear"), upsampling=upsampling)
        require_one_of(("batch", "none"), norm=norm)
        require_one_of(("none", "layers", "all"), spectral_norm=spectral_norm)
        if norm == "none" and samples.num_classes:
            raise UserError("only the batch norms of this generator use labels: set generator.norm=batch")
        self.class_vectors = samples.num_classes > 0 and spectral_norm == "all"
        base, doublings = base_and_doublings(samples.resolution)
        widths = doubling_widths(width, max_width, doublings + 1)[::-1]
        places = attention_places(attention, [base * 2**i for i in range(1, doublings + 1)])
        layer = self.norm_layer(norm, samples.num_classes)
        self.shape = (widths[0], base, base)
        self.linear = initialized(nn.Linear(latent_dim, widths[0] * base**2))
        blocks = [UpBlock(i, o, layer, upsampling, at) for (i, o), at in zip(pairwise(widths), places, strict=True)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = (layer if condition_last_norm else self.norm_layer(norm, 0))(width)
        self.to_image = convolution(width, samples.channels, 3)
        self.output = output_range(samples.value_range)
        reset_init(self, init)
        if spectral_norm != "none":
            spectral(self, spectral_eps)
        set_batch_norm_eps(self, norm_eps)

    def norm_layer(self, norm: Literal["batch", "none"], num_classes: int) -> Norm:
        """Return the class of the norms, with their arguments but the channels."""
        if norm == "none":
            return lambda channels: NoNorm()
        if num_classes and self.class_vectors:
            return partial(VectorBatchNorm2d, size=num_classes)
        return partial(ConditionalBatchNorm2d, num_classes=num_classes)

    def conditions(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, list[Tensor | None]]:
        if labels is not None and self.class_vectors:
            labels = class_weights(labels, self.num_classes, latents.dtype)
        return latents, [labels] * len(self.blocks)


class ResNetDiscriminator(ResidualDiscriminator):
    """`downsamples` blocks that halve the size, `plain_blocks` others, ReLU, and a sum over positions.

    Channels start at `width` and double each block up to `max_width`; between the convolutions of a block they are
    those of its input, or, with `wide_blocks`, of its output. `downsamples=None` goes down to b x b, where resolution =
    b * 2^n with b in {4, 6, 7}; a UserError is raised if it can't be halved so often. `norm="batch"` normalises before
    both convolutions of every block but the first, "batch_all" also in the first and before convolutions of shortcuts;
    "spectral" normalises every weight, including the head's. `norm_eps`: of either norm (None: torch's, 1e-5 and
    1e-12). SNGAN's for CIFAR-10 is downsamples=2, plain_blocks=2. `pooling`: the sum or the mean over positions.
    `rectified_shortcuts`: shortcuts after the first block start with ReLU. `init`: as in G. `attention`: the
    resolutions at which self-attention follows the first block that reaches them.
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
        attention: tuple[PositiveInt, ...] = (),
        wide_blocks: bool = False,
    ) -> None:
        super().__init__(samples, packing)
        resolution = require_resolution(samples.resolution)
        times = halvings(resolution, downsamples)
        require(0, plain_blocks=plain_blocks)
        require_one_of(("spectral", "batch", "batch_all", "none"), norm=norm)
        require_one_of(("sum", "mean"), pooling=pooling)
        widths = doubling_widths(width, max_width, times + plain_blocks)
        places = attention_places(attention, [resolution >> min(i, times) for i in range(1, len(widths) + 1)])
        batch, everywhere = norm.startswith("batch"), norm == "batch_all"
        blocks: list[nn.Module] = [FirstBlock(self.packed_channels, width, everywhere, places[0])]
        for i, (inner, outer) in enumerate(pairwise(widths), start=1):
            variant = (batch, rectified_shortcuts, everywhere, wide_blocks, places[i])
            blocks.append(DownBlock(inner, outer, i < times, *variant))
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
    elif init != "xavier":
        reset_biases(network, and_weights=("shortcut", "to_image") if init == "torch_shortcuts" else ())
