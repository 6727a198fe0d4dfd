"""The real images that are nearest to an image, in the features of an extractor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from torch import Tensor

from gan_research.data.sets import ImageSet
from gan_research.metrics import Evaluation
from gan_research.metrics.feature_pass import Progress
from gan_research.metrics.neighbours import distances
from gan_research.metrics.samples import drawn_indices


@dataclass(frozen=True)
class Reals:
    """Real images: `train`, `heldout` (which aren't trained on), and the labels of the classes."""

    name: str
    train: ImageSet
    heldout: ImageSet | None = None
    classes: Sequence[Any] = ()


@dataclass(frozen=True)
class Nearest:
    """The nearest training images (k, C, H, W) uint8 and their classes, the nearest first, with their distances.

    heldout: the distance to the nearest image that wasn't trained on; None if there are none.
    """

    images: Tensor
    labels: list[int] | None
    distances: list[float]
    heldout: float | None


class Neighbours:
    """The nearest real images, which are opened when they are needed: any error is a UserError then.

    open_reals: returns the images. make: returns an evaluation whose metrics need the features of all real images, such
    as precision_recall. most: the number of images to compare with, drawn at random; None: all.
    """

    def __init__(
        self,
        open_reals: Callable[[], Reals],
        make: Callable[[], Evaluation],
        device: str = "cpu",
        most: int | None = None,
    ) -> None:
        self._open, self._make, self._device, self._most = open_reals, make, device, most
        self._lock = Lock()
        self._features: list[Tensor] = []

    @cached_property
    def reals(self) -> Reals:
        """The images; reading them may take time."""
        reals = self._open()
        train, heldout = (self._limited(images) for images in (reals.train, reals.heldout))
        assert train is not None
        return Reals(reals.name, train, heldout, reals.classes)

    @cached_property
    def evaluation(self) -> Evaluation:
        return self._make()

    @property
    def is_ready(self) -> bool:
        """True once the features of all images are known."""
        return bool(self._features)

    @property
    def description(self) -> str:
        """The features and the number of images, once they are known."""
        return f"{self.evaluation.extractor.name} to {len(self._features[0]):,} images of {self.reals.name}"

    def prepare(self, progress: Progress | None = None) -> None:
        """Extract the features of all images, or read them from the cache of evaluations; once."""
        with self._lock:
            if not self._features:
                self._features = [
                    self._features_of(images, progress)
                    for images in (self.reals.train, self.reals.heldout)
                    if images is not None
                ]

    def __call__(self, image: Tensor, count: int) -> Nearest:
        """Return the nearest to an image (C, H, W) uint8, after `prepare`; distances are Euclidean."""
        features = self.evaluation.extractor(image[None].to(self._device)).features
        to_train, *to_heldout = (distances(features, reals)[0] for reals in self._features)
        values, rows = to_train.topk(min(count, len(to_train)), largest=False)
        images, labels = self.reals.train.gather(rows.tolist())
        heldout = to_heldout[0].min().item() if to_heldout else None
        return Nearest(images, None if labels is None else labels.tolist(), values.tolist(), heldout)

    def _features_of(self, images: ImageSet, progress: Progress | None) -> Tensor:
        self.evaluation.prepare(images, self._device, progress=progress)
        features: Tensor = self.evaluation.reference("features").features
        return features

    def _limited(self, images: ImageSet | None) -> ImageSet | None:
        if images is None or self._most is None or self._most >= len(images):
            return images
        drawn = drawn_indices(len(images), self._most)
        assert drawn is not None
        return images.subset(drawn)
