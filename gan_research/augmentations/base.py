"""The contract of an augmentation."""

from typing import NamedTuple

from torch import Tensor, nn

from gan_research.losses.base import Player
from gan_research.regularizers.step import Progress, SideName, Step
from gan_research.utils.rng import Noise


class AugmentationInput(NamedTuple):
    """The context of one forward pass of D.

    noise: random numbers of this micro-batch. call: the number of D's forward pass in it, from 0, so that each has its
    own noise. fakes: (N, C, H, W), without a graph. progress: the progress of training.
    """

    noise: Noise
    call: int
    fakes: Tensor
    progress: Progress


class Augmentation(nn.Module):
    """A transformation of the discriminator's input images, the same in both players' updates.

    A subclass implements `forward`; one that adapts collects statistics in `update` and applies them in `after_step`.
    Its state is kept in buffers that are changed in place.
    """

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor:
        """Return images of the same shape (N, C, H, W), differentiable in `images`.

        side: the source of the images: "real", "fake", "mixed" (between both) or "view" (a regularizer's own).
        """
        raise NotImplementedError

    def update(self, step: Step) -> None:
        """Collect statistics after the discriminator's loss of a micro-batch, without a copy to the host."""

    def after_step(self, player: Player) -> None:
        """Adapt after each optimizer step of `player`, the same on all ranks."""
