"""The contract of an augmentation."""

import logging
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from gan_research.losses.base import Player
from gan_research.regularizers.step import Progress, SideName, Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Number, bounds
from gan_research.utils.rng import Noise

log = logging.getLogger(__name__)


class AugmentationInput(NamedTuple):
    """The context of one forward pass of D.

    noise: random numbers of this micro-batch. call: the number of D's forward pass in it, from 0, so that each has its
    own noise. fakes: (N, C, H, W), without a graph. progress: the progress of training. condition: that of the images,
    such as labels (N,), or None; fake_condition: that of the fakes.
    """

    noise: Noise
    call: int
    fakes: Tensor
    progress: Progress
    condition: Any = None
    fake_condition: Any = None

    def purpose(self, name: str, side: SideName, synced: bool = False) -> str:
        """Return the name of the random numbers for one forward pass.

        synced: the reals and the fakes of an update have the same ones, row by row.
        """
        return f"{name} pair" if synced and side in ("real", "fake") else f"{name} {self.call}"


class Augmented(NamedTuple):
    """The images (N, C, H, W) that D gets, and their condition.

    info: further arguments of D by name, each (N, ...).
    """

    images: Tensor
    condition: Any
    info: Mapping[str, Tensor] = {}


class Augmentation(nn.Module):
    """A transformation of the discriminator's input images, the same in both players' updates.

    A subclass implements `forward`; one that adapts collects statistics in `update` and applies them in `after_step`.
    Its state is kept in buffers that are changed in place.
    """

    provides: ClassVar[tuple[str, ...]] = ()
    """The names in `Augmented.info`; the discriminator must accept them (`Discriminator.accepts`)."""

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor | Augmented:
        """Return images of the same shape (N, C, H, W), differentiable in `images`.

        Return `Augmented` if the condition changes, or to give D further arguments.

        side: the source of the images: "real", "fake", "mixed" (between both) or "view" (a regularizer's own).
        """
        raise NotImplementedError

    def check(self, objective: Any) -> None:
        """Raise a UserError, or log a warning, if the `Objective` doesn't suit it."""

    def update(self, step: Step) -> None:
        """Collect statistics after the discriminator's loss of a micro-batch, without a copy to the host."""

    def after_step(self, player: Player) -> None:
        """Adapt after each optimizer step of `player`, the same on all ranks."""


class ImageAugmentation(Augmentation):
    """An augmentation of images from -1 to 1, which refuses points."""

    def check(self, objective: Any) -> None:
        samples = getattr(objective.networks["discriminator"], "samples", None)
        if samples is None or samples.resolution is None:
            raise UserError(
                f"{type(self).__name__} transforms images, and these data are points: remove it from augment="
            )
        if samples.value_range != (-1, 1):
            values = "{:g} to {:g}".format(*samples.value_range)
            log.warning("%s is made for images from -1 to 1, and these are from %s", type(self).__name__, values)


def require_probability(component: Augmentation, **values: Number) -> None:
    """Raise a UserError naming the first of `values` that leaves [0, 1]."""
    for name, value in values.items():
        least, largest = bounds(value)
        if not 0 <= least <= largest <= 1:
            raise UserError(f"{type(component).__name__}: {name}={value}: set it to at least 0 and at most 1")
