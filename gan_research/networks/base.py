"""The base classes of generators and discriminators, and checks of their arguments."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import ClassVar, NamedTuple, Self

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.networks.heads import Head
from gan_research.utils.errors import UserError, did_you_mean, require
from gan_research.utils.sample_spec import SampleSpec


class DOutput(NamedTuple):
    """The output of a discriminator for images (N, C, H, W), or points (N, dim).

    logits: (N,), or (N/m,) for packs of m; (N, K) for K logits of a sample. features: (N, F), the head's input.
    extras: the head's other outputs by name, each (N, ...), such as "class_logits".
    """

    logits: Tensor
    features: Tensor
    extras: Mapping[str, Tensor] = {}


class Network(Rebuildable, nn.Module, ABC):
    """A network with its recorded constructor arguments and a check of labels.

    (torch can't pickle spectrally normalised layers: send `describe(network)` and its `state_dict()` to processes.)
    """

    def __init__(self, samples: SampleSpec) -> None:
        super().__init__()
        self.samples, self.resolution, self.num_classes = samples, samples.resolution, samples.num_classes

    def check_labels(self, labels: Tensor | None) -> None:
        """Raise a UserError if labels are missing or unexpected. It reads no value, so it needs no sync."""
        if (labels is not None) == (self.num_classes > 0):
            return
        name = type(self).__name__
        if labels is None:
            remedy = "pass int64 labels of shape (N,), or build it with num_classes=0"
            raise UserError(f"{name} is conditional (num_classes={self.num_classes}) and got no labels: {remedy}")
        raise UserError(f"{name} is unconditional and got labels: pass none, or build it with num_classes >= 1")


class Generator(Network):
    """Base of generators: latents (N, latent_dim) to images or points (N, *samples.shape).

    Samples are in `samples.value_range`, or around it: those that are shown, saved or evaluated as bytes are clamped,
    those that D gets aren't. A conditional generator takes labels (N,) int64, or weights of classes (N, num_classes),
    whose rows add up to 1, for samples between classes; `layers.class_rows` takes both. A subclass implements
    `generate`. `noise_dim` is the number of standard normal numbers that its layers add to each sample; they are an
    input, not drawn inside. If there are any, `generate` takes them as a third argument.
    """

    noise_dim = 0

    def __init__(self, latent_dim: PositiveInt, samples: SampleSpec) -> None:
        super().__init__(samples)
        require(1, latent_dim=latent_dim)
        self.latent_dim, self.value_range = latent_dim, samples.value_range

    def forward(self, latents: Tensor, labels: Tensor | None = None, noise: Tensor | None = None) -> Tensor:
        """Generate samples; the layers add `noise` (N, noise_dim), or none if it is None."""
        self.check_labels(labels)
        images = self.generate(latents, labels, *([noise] if self.noise_dim else []))
        if images.shape != (len(latents), *self.samples.shape):
            raise UserError(
                f"{type(self).__name__}.generate returned samples of shape {tuple(images.shape)} for latents of shape "
                f"{tuple(latents.shape)}: return {(len(latents), *self.samples.shape)}"
            )
        return images

    def prepare(self, mean: Callable[[], Tensor]) -> None:
        """Initialize from the data before training. `mean()` returns their mean sample, of `samples.shape`."""

    def first_affines(self) -> list[Tensor]:
        """Return the weights (outputs, latent_dim) of the first affine maps of the latents, for `sampling.sefa`.

        Of a `MappedGenerator` those of w, (outputs, w_dim). By default the weight of the first linear layer or
        transposed convolution, whose first inputs are the latents; override it for a network that differs.
        """
        layers = (layer for layer in self.modules() if isinstance(layer, nn.Linear | nn.ConvTranspose2d))
        if (layer := next(layers, None)) is None:
            raise NotImplementedError
        weight = layer.weight if isinstance(layer, nn.Linear) else layer.weight.flatten(1).T
        if weight.shape[1] < self.latent_dim:
            raise NotImplementedError
        return [weight[:, : self.latent_dim]]

    @abstractmethod
    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Generate images or points (N, *samples.shape); `labels` is None exactly if num_classes is 0."""


class Discriminator(Network):
    """Base of discriminators and critics: images or points (N, *samples.shape) to `DOutput`.

    A conditional one takes labels (N,) int64. With `packing` = m, m consecutive samples are concatenated as channels
    and get one logit: (N / m,) (PacGAN, Lin et al. 2018, section 3.1). A subclass implements `features` for samples of
    `packed_channels`, and sets `head`. `batch_multiple` divides the number of samples of each batch, which consists of
    whole packs or groups. `accepts` names further arguments of `features`, which augmentations provide. `frozen` is the
    number of its blocks that don't learn, see `freeze`.
    """

    head: Head
    accepts: ClassVar[tuple[str, ...]] = ()
    frozen = 0

    def __init__(self, samples: SampleSpec, packing: PositiveInt = 1) -> None:
        super().__init__(samples)
        require(1, packing=packing)
        if packing > 1 and samples.num_classes:
            raise UserError(f"packing={packing} samples with one logit can't have a class each: set conditional=false")
        self.packing = self.batch_multiple = packing
        self.packed_channels = packing * samples.channels

    def forward(self, images: Tensor, labels: Tensor | None = None, **info: Tensor) -> DOutput:
        self.check_labels(labels)
        features = self.features(self.pack(images), **info)  # only those it accepts
        logits, extras = self.head(features, labels), self.head.extras(features, labels)
        if logits.shape[:1] != features.shape[:1]:
            raise UserError(
                f"{type(self.head).__name__} returned logits of shape {tuple(logits.shape)} for features of shape "
                f"{tuple(features.shape)}: return one logit for each, ({len(features)},), or ({len(features)}, K)"
            )
        if missing := [name for name in self.head.provides if name not in extras]:
            raise UserError(
                f"{type(self.head).__name__} provides '{missing[0]}', and its extras are {', '.join(extras) or 'none'}"
                ": return it from extras"
            )
        return DOutput(logits, features, extras)

    def pack(self, images: Tensor) -> Tensor:
        """Pack (N, channels, ...) to (N / packing, packed_channels, ...); UserError if N isn't divisible."""
        if self.packing == 1:
            return images
        if len(images) % self.packing:
            raise UserError(
                f"{len(images)} samples don't make packs of {self.packing}: choose a batch_size that devices x "
                "accumulation x packing divides"
            )
        return images.reshape(-1, self.packed_channels, *images.shape[2:])

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Return the features (N, F) of (packed) samples, with F = head.num_features."""

    def blocks_from_image(self) -> list[list[nn.Module]]:
        """Return the blocks of `features`, each a list of layers, from the image on.

        A block is a residual block, an attention or another layer with a weight, and the layers after it that have
        none: norms, activations, dropout. They are found among all parts but the head, in the order of definition, and
        inside `nn.Sequential` and `nn.ModuleList`. Override it for a network that runs them in another order.
        """
        blocks: list[list[nn.Module]] = [[]]
        for layer in flattened(part for name, part in self.named_children() if name != "head"):
            if any(map(has_weight, blocks[-1])) and has_weight(layer):
                blocks.append([])
            blocks[-1].append(layer)
        return [block for block in blocks if any(map(has_weight, block))]

    def freeze(self, count: NonNegativeInt) -> None:
        """Freeze the first `count` blocks: FreezeD (Mo et al. 2020). UserError if there are fewer.

        They are a fixed function from now on: their parameters get no gradient, and they stay in evaluation mode, so
        that running statistics and the vectors of spectral norms keep their values, and nothing is dropped.
        """
        blocks = self.blocks_from_image()
        if not 0 <= count <= len(blocks):
            most = f"{len(blocks)}, the number of blocks of {type(self).__name__}"
            raise UserError(f"freeze_discriminator={count}: give 0 to {most}")
        self.frozen = count
        for layer in chain(*blocks[:count]):
            layer.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            for layer in chain(*self.blocks_from_image()[: self.frozen]):
                layer.eval()
        return self


def flattened(layers: Iterable[nn.Module]) -> Iterator[nn.Module]:
    """Yield layers, with the contents of containers in their place."""
    for layer in layers:
        if type(layer) in (nn.Sequential, nn.ModuleList):
            yield from flattened(layer.children())
        else:
            yield layer


def has_weight(layer: nn.Module) -> bool:
    """Return whether a layer has a weight matrix or kernel, as norms and activations don't."""
    return any(parameter.dim() > 1 for parameter in layer.parameters())


def base_and_doublings(resolution: int | None, base: int | None = None) -> tuple[int, int]:
    """Return (b, n): resolution = b * 2^n, n >= 1, b in {4, 6, 7} or `base`. UserError if there is none."""
    resolution = require_resolution(resolution)
    bases = (4, 6, 7) if base is None else (base,)
    require(1, base=bases[0])
    for base in bases:
        quotient, remainder = divmod(resolution, base)
        if remainder == 0 and quotient >= 2 and quotient & (quotient - 1) == 0:
            return base, quotient.bit_length() - 1
    valid = [base * 2**n for base in bases for n in range(1, max(resolution, 2 * bases[0]).bit_length())]
    nearest = [*sorted(r for r in valid if r < resolution)[-1:], min(r for r in valid if r > resolution)]
    names = "4, 6 or 7" if len(bases) > 1 else str(bases[0])
    advice = f"take {' or '.join(map(str, nearest))}, or an MLP"
    raise UserError(f"resolution {resolution} is not {names} doubled at least once: {advice}")


def halvings(resolution: int | None, downsamples: int | None) -> int:
    """Return how often a discriminator halves the resolution: `downsamples`, by default down to 4, 6 or 7.

    Raises a UserError if that can't be.
    """
    resolution = require_resolution(resolution)
    times = base_and_doublings(resolution)[1] if downsamples is None else downsamples
    require(1, downsamples=times)
    if resolution % 2**times:
        most = (resolution & -resolution).bit_length() - 1
        raise UserError(f"resolution {resolution} cannot be halved {times} times: take downsamples <= {most}")
    return times


def require_resolution(resolution: int | None) -> int:
    """Return the resolution; UserError if it is None, as samples are points."""
    if resolution is None:
        raise UserError("convolutions need images, and these data are points: take generator=mlp discriminator=mlp")
    return resolution


def doubling_widths(width: int, max_width: int, count: int) -> list[int]:
    """Return `count` channel numbers from the image inwards: width, 2 width, 4 width, ..., at most max_width."""
    require(1, width=width)
    if max_width < width:
        raise UserError(f"max_width {max_width} is below width {width}: raise max_width, or lower width")
    return [min(width * 2**i, max_width) for i in range(count)]


def require_one_of(valid: tuple[str, ...], **values: str) -> None:
    """Raise a UserError naming the first of `values` that is not in `valid`."""
    for name, value in values.items():
        if value not in valid:
            raise UserError(f"{name} '{value}' is unknown: {did_you_mean(value, valid)}")
