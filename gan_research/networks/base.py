"""What every generator and discriminator is: its contract, its recorded arguments, and checks of what it is asked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.networks.heads import Head
from gan_research.utils.errors import UserError, did_you_mean, require
from gan_research.utils.sample_spec import SampleSpec

BASES = (4, 6, 7)


class DOutput(NamedTuple):
    """The output of a discriminator for images (N, C, H, W), or points (N, dim).

    logits: (N,), or (N/m,) of packs of m. features: (N, F), what the head saw. extras: the head's other outputs by
    name, each (N, ...), such as "class_logits".
    """

    logits: Tensor
    features: Tensor
    extras: Mapping[str, Tensor] = {}


class Network(Rebuildable, nn.Module, ABC):
    """A network that knows the arguments it was built with, and whether it wants labels.

    (torch can deep-copy spectrally normalised layers, but not pickle them: such a network travels between processes as
    `describe(network)` and its `state_dict()`.)
    """

    def __init__(self, samples: SampleSpec) -> None:
        super().__init__()
        self.samples, self.resolution, self.num_classes = samples, samples.resolution, samples.num_classes

    def check_labels(self, labels: Tensor | None) -> None:
        """Raise a UserError where labels are missing or not wanted. Looks at no value, so it costs no sync."""
        if (labels is not None) == (self.num_classes > 0):
            return
        name = type(self).__name__
        if labels is None:
            wanted = "pass int64 labels of shape (N,), or build it with num_classes=0"
            raise UserError(f"{name} is conditional (num_classes={self.num_classes}) and got no labels: {wanted}")
        raise UserError(f"{name} is unconditional and got labels: pass none, or build it with num_classes >= 1")


class Generator(Network):
    """Latents (N, latent_dim) to images or points (N, *samples.shape); labels (N,) int64 if it is conditional.

    Values lie inside `samples.value_range`. A subclass implements `generate`.
    """

    def __init__(self, latent_dim: int, samples: SampleSpec) -> None:
        super().__init__(samples)
        require(1, latent_dim=latent_dim)
        self.latent_dim, self.value_range = latent_dim, samples.value_range

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        self.check_labels(labels)
        images = self.generate(latents, labels)
        if images.shape != (len(latents), *self.samples.shape):
            raise UserError(
                f"{type(self).__name__}.generate returned samples of shape {tuple(images.shape)} for latents of shape "
                f"{tuple(latents.shape)}: return {(len(latents), *self.samples.shape)}"
            )
        return images

    def prepare(self, mean: Callable[[], Tensor]) -> None:
        """Before the game begins: what follows from the data. `mean()` is their mean sample, of `samples.shape`."""

    @abstractmethod
    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """Images or points (N, *samples.shape); labels are there exactly if num_classes > 0."""


class Discriminator(Network):
    """Images or points (N, *samples.shape) to `DOutput`; labels (N,) int64 if it is conditional.

    With `packing` = m, m samples in a row are judged together, one logit for them all: (N / m,). They are laid on top
    of each other as channels (PacGAN, Lin et al. 2018, section 3.1). A subclass implements `features` for samples of
    `packed_channels`, and sets `head`; a critic is one too.
    """

    head: Head

    def __init__(self, samples: SampleSpec, packing: int = 1) -> None:
        super().__init__(samples)
        require(1, packing=packing)
        if packing > 1 and samples.num_classes:
            raise UserError(f"packing={packing} samples judged together can't have a class each: set conditional=false")
        self.packing = packing
        self.packed_channels = packing * samples.channels

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DOutput:
        self.check_labels(labels)
        features = self.features(self.pack(images))
        logits, extras = self.head(features, labels), self.head.extras(features, labels)
        if logits.shape != features.shape[:1]:
            raise UserError(
                f"{type(self.head).__name__} returned logits of shape {tuple(logits.shape)} for features of shape "
                f"{tuple(features.shape)}: return one logit for each, ({len(features)},)"
            )
        if missing := [name for name in self.head.provides if name not in extras]:
            raise UserError(
                f"{type(self.head).__name__} provides '{missing[0]}', and its extras are {', '.join(extras) or 'none'}"
                ": return it from extras"
            )
        return DOutput(logits, features, extras)

    def pack(self, images: Tensor) -> Tensor:
        """(N, channels, ...) -> (N / packing, packed_channels, ...). UserError where packs don't come out even."""
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
        """What the head sees of (packed) samples: (N, F), with F = head.num_features."""


def base_and_doublings(resolution: int | None, base: int | None = None) -> tuple[int, int]:
    """(b, n) with resolution = b * 2^n and n >= 1, b in {4, 6, 7}, or the given one; UserError if there is none."""
    resolution = require_pictures(resolution)
    bases = BASES if base is None else (base,)
    require(1, base=bases[0])
    for base in bases:
        quotient, remainder = divmod(resolution, base)
        if remainder == 0 and quotient >= 2 and quotient & (quotient - 1) == 0:
            return base, quotient.bit_length() - 1
    makeable = [base * 2**n for base in bases for n in range(1, max(resolution, 2 * bases[0]).bit_length())]
    near = [max((r for r in makeable if r < resolution), default=None), min(r for r in makeable if r > resolution)]
    nearest = " or ".join(str(r) for r in near if r is not None)
    wanted = "4, 6 or 7" if len(bases) > 1 else str(bases[0])
    raise UserError(f"resolution {resolution} is not {wanted} doubled at least once: take {nearest}, or an MLP")


def require_pictures(resolution: int | None) -> int:
    """The resolution; UserError where there is none, as samples are points."""
    if resolution is None:
        raise UserError("convolutions want pictures, and these data are points: take generator=mlp discriminator=mlp")
    return resolution


def doubling_widths(width: int, max_width: int, count: int) -> list[int]:
    """`count` channel numbers from the image inwards: width, 2 width, 4 width, ..., none above max_width."""
    require(1, width=width)
    if max_width < width:
        raise UserError(f"max_width {max_width} is below width {width}: raise max_width, or lower width")
    return [min(width * 2**i, max_width) for i in range(count)]


def require_one_of(valid: tuple[str, ...], **values: str) -> None:
    """Raise a UserError naming the first of `values` that is not in `valid`."""
    for name, value in values.items():
        if value not in valid:
            raise UserError(f"{name} '{value}' is unknown: {did_you_mean(value, valid)}")
