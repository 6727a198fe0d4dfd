"""scikit-learn's handwritten digits: small enough to train on in seconds, and part of the installation."""

from typing import Unpack

import torch

from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.sets import ImageSet, TensorSet, resize


class Digits(ImageData):
    """1797 digits of 8x8 pixels with 17 grey levels, which become round(level * 255 / 16); every 9th is held out.

    E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998.
    """

    name, channels, num_classes = "digits", 1, 10
    metrics = "digits"
    in_random_order = True

    def __init__(self, resolution: int = 8, **images: Unpack[ImageOptions]) -> None:
        super().__init__(**images)
        self.resolution = resolution

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        from sklearn.datasets import load_digits  # takes a second to import

        bunch = load_digits()
        levels = torch.from_numpy(bunch.images).mul(255 / 16).round().to(torch.uint8)
        images, labels = resize(levels[:, None], self.resolution), torch.from_numpy(bunch.target)
        heldout = torch.arange(len(images)) % 9 == 0  # as for the classifier that evaluates them
        return TensorSet(images[~heldout], labels[~heldout]), TensorSet(images[heldout], labels[heldout])
