"""Differentiable augmentation."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor

from gan_research.augmentations.base import AugmentationInput, ImageAugmentation, require_probability
from gan_research.regularizers.step import SideName
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.pixels import cut_out, integers, translate
from gan_research.utils.ranges import Probability

Transform = Literal["color", "translation", "cutout"]


class DiffAugment(ImageAugmentation):
    """Differentiable augmentation of all images that D gets (Zhao et al. 2020, section 3; values of the code).

    policy: the transforms of every image, in their order. color: brightness x + U(-0.5, 0.5), saturation
        m + U(0, 2) (x - m) about the mean m over channels, contrast m + U(0.5, 1.5) (x - m) about the image's mean m;
        values aren't clamped. translation: by integers, with 0 outside. cutout: a square of 0 with a uniform center.
    translation: the largest translation, as a fraction of the size. cutout: the side of the square.
    synced: a real and its paired fake get the same transforms.
    """

    def __init__(
        self,
        policy: Sequence[Transform] = ("color", "translation", "cutout"),
        translation: Probability = 0.125,
        cutout: Probability = 0.5,
        synced: bool = False,
    ):
        super().__init__()
        for name in policy:
            if name not in get_args(Transform):
                raise UserError(f"DiffAugment: policy has '{name}': {did_you_mean(name, get_args(Transform))}")
        require_probability(self, translation=translation, cutout=cutout)
        self.policy, self.translation, self.cutout, self.synced = list(policy), translation, cutout, synced

    def forward(self, images: Tensor, side: SideName, context: AugmentationInput) -> Tensor:
        drawn = context.noise.uniform(context.purpose("diffaugment", side, self.synced), 7)
        transforms = {"color": self._color, "translation": self._translate, "cutout": self._cut_out}
        for name in self.policy:
            images = transforms[name](images, drawn)
        return images

    def _color(self, images: Tensor, drawn: Tensor) -> Tensor:
        brightness, saturation, contrast = drawn[:, :3, None, None, None].unbind(1)
        images = scaled(images + (brightness - 0.5), 2 * saturation, (1,))
        return scaled(images, contrast + 0.5, (1, 2, 3))

    def _translate(self, images: Tensor, drawn: Tensor) -> Tensor:
        most = [int(self.translation * size + 0.5) for size in images.shape[2:]]
        return translate(images, *(integers(by, -m, m) for by, m in zip(drawn[:, 3:5].split(1, 1), most, strict=True)))

    def _cut_out(self, images: Tensor, drawn: Tensor) -> Tensor:
        return cut_out(images, drawn[:, 5:], self.cutout)


def scaled(images: Tensor, factor: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return m + factor (x - m) for the mean m of each image over `dims`."""
    mean = images.mean(dims, keepdim=True)
    return (images - mean) * factor + mean
