"""BigGAN and BigGAN-deep: residual networks that get the latents and a shared embedding of the class in every block.

Brock et al. 2019, "Large scale GAN training for high fidelity natural image synthesis", appendix B. `multipliers` are
channels in units of `width`: G's from the latents to the image, D's from the image inwards. The defaults follow
POSTECH-CVLab/PyTorch-StudioGAN for CIFAR-10 (src/models/big_resnet.py, big_resnet_deep_legacy.py).
ajbrock/BigGAN-PyTorch (BigGAN.py, BigGANdeep.py) differs in these arguments:

    multipliers at 32    G 4 4 4 4, D 4 4 4 4 (not 2 2 2 2)
    multipliers at 64    G 16 16 8 4 2 (not 16 8 4 2 1)
    biases               torch_biases=true
    batch norm           norm_eps=1e-5

StudioGAN's in-place ReLU rectifies all shortcuts of D but the first block's. Its big_resnet_deep_studiogan.py has
shortcuts=convolutions, and in D at 32 multipliers 1 4 4 4.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.networks.attention import attention_places
from gan_research.networks.base import base_and_doublings, halvings, require_one_of, require_resolution
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import (
    WEIGHTED,
    ConditionalBatchNorm2d,
    VectorBatchNorm2d,
    class_rows,
    convolution,
    initialize_weights,
    output_range,
    reset_biases,
    set_batch_norm_eps,
    spectral,
)
from gan_research.networks.residual import (
    DeepDownBlock,
    DeepUpBlock,
    DownBlock,
    FirstBlock,
    ResidualDiscriminator,
    ResidualGenerator,
    UpBlock,
)
from gan_research.utils.errors import UserError, require
from gan_research.utils.sample_spec import SampleSpec

Init = Literal["orthogonal", "normal", "xavier"]
Shortcuts = Literal["channels", "convolutions"]

MULTIPLIERS = {4: (1, 2, 4, 8, 16), 5: (1, 2, 4, 8, 16, 16), 6: (1, 2, 4, 8, 8, 16, 16), 7: (1, 1, 2, 4, 8, 8, 16, 16)}
"""The default multipliers of D by doublings of 4, 6 or 7; G's are reversed."""


class EmbeddingGenerator(ResidualGenerator):
    """Base of BigGAN's generators: the embedding of classes, the first and the last layers."""

    def __init__(self, latent_dim: int, samples: SampleSpec, shared_dim: int) -> None:
        super().__init__(latent_dim, samples)
        require(1, shared_dim=shared_dim)
        self.shared_dim = shared_dim if samples.num_classes else 0
        self.shared = nn.Embedding(samples.num_classes, shared_dim) if samples.num_classes else None

    def embedded(self, labels: Tensor | None) -> Iterator[Tensor]:
        """Yield the embedding (N, shared_dim) of the labels, if there are classes."""
        if self.shared is not None and labels is not None:
            yield class_rows(labels, self.shared.weight)

    def affines(self, layers: nn.Module) -> Iterator[Tensor]:
        """Yield the weights of the norms' affine maps, without the inputs of the embedding."""
        for layer in layers.modules():
            if isinstance(layer, VectorBatchNorm2d):
                yield from (affine.weight[:, self.shared_dim :] for affine in (layer.gain, layer.bias))

    def build(self, inputs: int, shape: tuple[int, int, int], blocks: Sequence[nn.Module], channels: int) -> None:
        """Set the blocks, the layer ahead of them, and those between them and the image."""
        self.shape = shape
        self.linear = nn.Linear(inputs, shape[0] * shape[1] * shape[2])
        self.blocks = nn.ModuleList(blocks)
        self.norm = ConditionalBatchNorm2d(channels)
        self.to_image = convolution(channels, self.samples.channels, 3)
        self.output = output_range(self.value_range)


class BigGANGenerator(EmbeddingGenerator):
    """A linear layer of the latents' first chunk, and an up-block for each other one.

    The latents are cut into n + 1 equal chunks, where resolution = b * 2^n with b in {4, 6, 7}; UserError if they don't
    divide. Block i normalises by [embedding of the class, chunk i + 1].

    width, multipliers: the channels, see the module. shared_dim: the size of the embedding of classes.
    attention: the resolutions at which self-attention follows; None: half the resolution, at most 64.
    spectral_norm: of all weights but the embedding. init: of all weights; biases are 0, or torch's (`torch_biases`).
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt = 96,
        multipliers: tuple[PositiveInt, ...] | None = None,
        shared_dim: PositiveInt = 128,
        attention: tuple[PositiveInt, ...] | None = None,
        spectral_norm: bool = True,
        spectral_eps: PositiveFloat = 1e-6,
        norm_eps: PositiveFloat = 1e-4,
        init: Init = "orthogonal",
        torch_biases: bool = False,
    ) -> None:
        super().__init__(latent_dim, samples, shared_dim)
        base, doublings = base_and_doublings(samples.resolution)
        channels = generator_channels(multipliers, width, doublings)
        self.chunk = chunk_size(latent_dim, doublings + 1)
        norm = partial(VectorBatchNorm2d, size=self.shared_dim + self.chunk)
        places = places_in(attention, generator_sizes(base, doublings), samples.resolution)
        blocks = [UpBlock(i, o, norm, attention=at) for (i, o), at in zip(pairwise(channels), places, strict=True)]
        self.build(self.chunk, (channels[0], base, base), blocks, channels[-1])
        start(self, init, torch_biases, spectral_eps if spectral_norm else None, (nn.Linear, nn.Conv2d))
        set_batch_norm_eps(self, norm_eps)

    def first_affines(self) -> list[Tensor]:
        of_chunks = [[self.linear.weight], *([*self.affines(block)] for block in self.blocks)]
        zeros = [(i * self.chunk, (len(self.blocks) - i) * self.chunk) for i in range(len(of_chunks))]
        return [F.pad(weight, sides) for weights, sides in zip(of_chunks, zeros, strict=True) for weight in weights]

    def conditions(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        first, *chunks = latents.split(self.chunk, 1)
        return first, [torch.cat([*self.embedded(labels), chunk], 1) for chunk in chunks]


class BigGANDeepGenerator(EmbeddingGenerator):
    """A linear layer, and `depth` bottleneck blocks for each resolution; the last one doubles it.

    The linear layer and all norms get [embedding of the class, latents].

    shortcuts: the first channels of a block's input, without weights, or convolutions (StudioGAN's). Others: as in
    `BigGANGenerator`.
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt = 128,
        multipliers: tuple[PositiveInt, ...] | None = None,
        depth: PositiveInt = 2,
        shortcuts: Shortcuts = "channels",
        shared_dim: PositiveInt = 128,
        attention: tuple[PositiveInt, ...] | None = None,
        spectral_norm: bool = True,
        spectral_eps: PositiveFloat = 1e-6,
        norm_eps: PositiveFloat = 1e-4,
        init: Init = "orthogonal",
        torch_biases: bool = False,
    ) -> None:
        super().__init__(latent_dim, samples, shared_dim)
        base, doublings = base_and_doublings(samples.resolution)
        channels = generator_channels(multipliers, width, doublings)
        convolved = require_deep("generator", channels, depth, shortcuts)
        size = self.shared_dim + latent_dim
        norm = partial(VectorBatchNorm2d, size=size)
        places = places_in(attention, generator_sizes(base, doublings), samples.resolution)
        blocks: list[nn.Module] = []
        for (inner, outer), place in zip(pairwise(channels), places, strict=True):
            blocks += [DeepUpBlock(inner, inner, norm, False, convolved) for _ in range(depth - 1)]
            blocks.append(DeepUpBlock(inner, outer, norm, True, convolved, place))
        self.build(size, (channels[0], base, base), blocks, channels[-1])
        start(self, init, torch_biases, spectral_eps if spectral_norm else None, (nn.Linear, nn.Conv2d))
        set_batch_norm_eps(self, norm_eps)

    def first_affines(self) -> list[Tensor]:
        return [self.linear.weight[:, self.shared_dim :], *self.affines(self.blocks)]

    def conditions(self, latents: Tensor, labels: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        vector = torch.cat([*self.embedded(labels), latents], 1)
        return vector, [vector] * len(self.blocks)


class BigGANDiscriminator(ResidualDiscriminator):
    """Residual blocks, ReLU, and a sum over positions.

    The first `downsamples` blocks halve the size; None: at most 2 below 64, else down to 4, 6 or 7. width, multipliers:
    the channels of each block, see the module. `rectified_shortcuts`: shortcuts after the first block start with ReLU.
    `spectral_norm`: of all weights, including the head's. `attention`, `init`, `torch_biases`: as in `BigGANGenerator`.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 96,
        multipliers: tuple[PositiveInt, ...] | None = None,
        downsamples: PositiveInt | None = None,
        attention: tuple[PositiveInt, ...] | None = None,
        rectified_shortcuts: bool = False,
        spectral_norm: bool = True,
        spectral_eps: PositiveFloat = 1e-6,
        head_bias: bool = True,
        init: Init = "orthogonal",
        torch_biases: bool = False,
        packing: PositiveInt = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        times, channels = discriminator_channels(samples, downsamples, multipliers, width, (2, 2, 2, 2), stem=0)
        places = places_in(attention, discriminator_sizes(samples, times, len(channels)), samples.resolution)
        blocks: list[nn.Module] = [FirstBlock(self.packed_channels, channels[0], attention=places[0])]
        for i, (inner, outer) in enumerate(pairwise(channels), start=1):
            variant = {"rectified": rectified_shortcuts, "wide": True, "attention": places[i]}
            blocks.append(DownBlock(inner, outer, i < times, batch_norm=False, **variant))
        self.body = nn.Sequential(*blocks, nn.ReLU())
        self.head = make_head(channels[-1], samples.num_classes, head_bias, head=head)
        start(self, init, torch_biases, spectral_eps if spectral_norm else None, WEIGHTED)


class BigGANDeepDiscriminator(ResidualDiscriminator):
    """A convolution, stages of `depth` bottleneck blocks, ReLU, and a sum over positions.

    The first block of each of the first `downsamples` stages halves the size. `multipliers`: the channels of the
    convolution and of each stage, see the module. `shortcuts`: the input with a convolution's channels appended, or
    convolutions (StudioGAN's). `rectified_shortcuts`: they start with ReLU. Others: as in `BigGANDiscriminator`.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 128,
        multipliers: tuple[PositiveInt, ...] | None = None,
        depth: PositiveInt = 2,
        shortcuts: Shortcuts = "channels",
        downsamples: PositiveInt | None = None,
        attention: tuple[PositiveInt, ...] | None = None,
        rectified_shortcuts: bool = False,
        spectral_norm: bool = True,
        spectral_eps: PositiveFloat = 1e-6,
        head_bias: bool = True,
        init: Init = "orthogonal",
        torch_biases: bool = False,
        packing: PositiveInt = 1,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        times, channels = discriminator_channels(samples, downsamples, multipliers, width, (4, 4, 4, 4), stem=1)
        convolved = require_deep("discriminator", channels, depth, shortcuts)
        places = places_in(attention, discriminator_sizes(samples, times, len(channels) - 1), samples.resolution)
        layers: list[nn.Module] = [convolution(self.packed_channels, channels[0], 3)]
        for i, (inner, outer) in enumerate(pairwise(channels)):
            for j in range(depth):
                sizes = (outer if j else inner, outer, i < times and j == 0)
                layers.append(DeepDownBlock(*sizes, convolved, rectified_shortcuts, places[i] and j == depth - 1))
        self.body = nn.Sequential(*layers, nn.ReLU())
        self.head = make_head(channels[-1], samples.num_classes, head_bias, head=head)
        start(self, init, torch_biases, spectral_eps if spectral_norm else None, WEIGHTED)


def start(
    network: nn.Module, init: Init, torch_biases: bool, spectral_eps: float | None, normalised: tuple[type, ...]
) -> None:
    """Initialize all weights and biases, then normalise spectrally the layers of the classes `normalised`."""
    require_one_of(get_args(Init), init=init)
    initialize_weights(network, init, 0.02 if init == "normal" else 1.0, WEIGHTED)
    if torch_biases:
        reset_biases(network)
    if spectral_eps is not None:
        spectral(network, spectral_eps, normalised)


def chunk_size(latent_dim: int, chunks: int) -> int:
    """Return the size of each chunk of the latents; UserError if they don't divide."""
    size, rest = divmod(latent_dim, chunks)
    if rest:
        nearest = " or ".join(str(n * chunks) for n in (size, size + 1) if n)
        raise UserError(
            f"latent_dim {latent_dim} doesn't divide into {chunks} chunks, for the first layer and each block: set "
            f"prior.latent_dim={nearest}"
        )
    return size


def table(doublings: int, flat: tuple[int, ...]) -> tuple[int, ...]:
    """Return the default multipliers from the image inwards: `flat` below 64; UserError above 512 or so."""
    if doublings > max(MULTIPLIERS):
        raise UserError("BigGAN has no channels for such a resolution: set generator.multipliers and discriminator's")
    return MULTIPLIERS.get(doublings, flat)


def generator_channels(multipliers: Sequence[int] | None, width: int, doublings: int) -> list[int]:
    """Return the channels of G from the latents to the image; UserError if `multipliers` don't fit."""
    require(1, width=width)
    chosen = list(table(doublings, (4,) * (doublings + 1))[::-1] if multipliers is None else multipliers)
    if len(chosen) != doublings + 1:
        raise UserError(f"generator.multipliers={chosen}: set {doublings + 1}, of the first layer and each block")
    require(1, **{"the least of generator.multipliers": min(chosen)})
    return [width * multiplier for multiplier in chosen]


def discriminator_channels(
    samples: SampleSpec,
    downsamples: int | None,
    multipliers: Sequence[int] | None,
    width: int,
    flat: tuple[int, ...],
    stem: int,
) -> tuple[int, list[int]]:
    """Return how often D halves the size, and its channels from the image inwards; UserError if they don't fit.

    flat: the multipliers below 64. stem: the number of those that belong to no stage.
    """
    require(1, width=width)
    doublings = base_and_doublings(samples.resolution)[1]
    times = halvings(samples.resolution, min(doublings, 2) if downsamples is None and doublings < 4 else downsamples)
    chosen = list(table(doublings, flat) if multipliers is None else multipliers)
    if len(chosen) < times + stem:
        raise UserError(
            f"discriminator.multipliers={chosen}: set at least {times + stem} to halve {times} times, or set "
            "discriminator.downsamples"
        )
    require(1, **{"the least of discriminator.multipliers": min(chosen)})
    return times, [width * multiplier for multiplier in chosen]


def generator_sizes(base: int, doublings: int) -> list[int]:
    """Return the side of G's maps after each doubling."""
    return [base * 2**i for i in range(1, doublings + 1)]


def discriminator_sizes(samples: SampleSpec, times: int, stages: int) -> list[int]:
    """Return the side of D's maps after each stage."""
    return [require_resolution(samples.resolution) >> min(i, times) for i in range(1, stages + 1)]


def places_in(attention: Sequence[int] | None, sizes: Sequence[int], resolution: int | None) -> list[bool]:
    """Return after which stages attention follows; None: at half the resolution, at most 64 and at least 8."""
    if attention is None:
        most = min(require_resolution(resolution) // 2, 64)
        attention = sorted(size for size in sizes if 8 <= size <= most)[-1:]
    return attention_places(attention, sizes)


def require_deep(player: str, channels: Sequence[int], depth: int, shortcuts: Shortcuts) -> bool:
    """Return whether shortcuts are convolved; UserError if they aren't and channels grow in G or shrink in D."""
    require(1, depth=depth)
    require_one_of(get_args(Shortcuts), shortcuts=shortcuts)
    if min(channels) < 4:
        raise UserError(f"blocks have a quarter of {min(channels)} channels inside: raise {player}.width")
    if shortcuts == "channels" and list(channels) != sorted(channels, reverse=player == "generator"):
        raise UserError(
            f"the channels {list(channels)} of the {player} go up and down, which shortcuts without weights can't: set "
            f"{player}.multipliers in order, or {player}.shortcuts=convolutions"
        )
    return shortcuts == "convolutions"
