"""Your own images in any of the formats of `formats`."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from gan_research.data.folder import ImageFileData, ImageFileOptions
from gan_research.data.formats.base import Indexed
from gan_research.data.formats.detect import open_images
from gan_research.data.image_files import RECIPES, AsItIs, ImageDecoder
from gan_research.data.labels import checked_labels, heldout_classes, is_one_hot, labels_of, number_classes
from gan_research.data.sets import ImageSet, held_out
from gan_research.utils.errors import UserError
from gan_research.utils.paths import ImageSource


class Images(ImageFileData):
    """Images of a folder, a file or Hugging Face's hub, in its own format.

    Formats: a folder of images, StyleGAN's ZIP, HDF5, LMDB, WebDataset, .npz, ImageNet, Hugging Face datasets.
    resolution: of the images made by `recipe` (None: that of the stored images, which are neither cropped nor resized).
    recipe: how images are cropped and resized; FIDs of different recipes can't be compared.
    channels: 1 (grey) or 3 (None: those of the first image).
    labels: take the classes of the format; of a folder of images, the first-level folders (None: if it has any).
    split: the part of a set that has several. heldout_split: another part, or heldout_path: another file, or heldout:
        the share of images, evenly spaced, to hold out.
    """

    def __init__(
        self,
        path: ImageSource,
        resolution: int | None = None,
        recipe: Literal["stylegan_center_crop", "adm", "lsun_wide"] = "stylegan_center_crop",
        channels: Literal[1, 3] | None = None,
        labels: bool | None = None,
        split: str = "train",
        heldout_split: str | None = None,
        heldout_path: ImageSource | None = None,
        heldout: float = 0.0,
        **files: Unpack[ImageFileOptions],
    ) -> None:
        super().__init__(**files)
        if sum(map(bool, (heldout_split, heldout_path, heldout))) > 1:
            raise UserError("data.heldout_split, data.heldout_path and data.heldout exclude each other: give only one")
        self.path, self.recipe, self.labels, self.split = path, recipe, labels, split
        self.name = Path(path).expanduser().absolute().stem
        self.given_resolution, self.given_channels = resolution, channels
        self.heldout_split, self.heldout_path, self.heldout_fraction = heldout_split, heldout_path, heldout

    @cached_property
    def source(self) -> Indexed:
        """The stored images to train on."""
        return open_images(self.path, self.split, bool(self.labels))

    @cached_property
    def _stored_shape(self) -> tuple[int, int, int]:
        shape = self.source.first_shape()
        if self.given_resolution is None and shape[1] != shape[2]:
            raise UserError(
                f"{self.path} has images of {shape[2]} x {shape[1]} pixels: set data.resolution, to which the central "
                "square is resized"
            )
        return shape

    @property
    def resolution(self) -> int:  # type: ignore[override]
        return self.given_resolution or self._stored_shape[1]

    @property
    def channels(self) -> int:  # type: ignore[override]
        return self.given_channels or self._stored_shape[0]

    @property
    def decoder(self) -> ImageDecoder:
        """The recipe at the resolution; images as they are, where neither resolution nor channels are given."""
        if self.given_resolution is None and self.given_channels in (None, self._stored_shape[0]):
            return AsItIs(self._stored_shape)
        return RECIPES[self.recipe](self.resolution, self.channels)

    @cached_property
    def _numbered(self) -> tuple[Tensor | None, list[Any]]:
        """The class of each image, and the label of each class."""
        labels = self._labels(self.source)
        return (None, []) if labels is None else number_classes(labels)

    def _labels(self, source: Indexed) -> Any:
        """Return the labels of a source: an array (N,), or None if it has no classes, or they aren't wanted."""
        if self.labels is False:
            return None
        labels = [source.label(index) for index in range(len(source))]
        vectors = all(isinstance(label, list | tuple) for label in labels)
        if self.labels is None and (None in labels or (vectors and not is_one_hot(labels))):
            return None
        return checked_labels(labels_of(labels, source.names, source.path), len(source), f"the labels of {source.path}")

    @property
    def classes(self) -> list[Any]:  # type: ignore[override]
        """The label of each class in the files; none without labels."""
        return self._numbered[1]

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        return len(self.classes)

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        mask = held_out(len(self.source), self.heldout_fraction)
        train, heldout = self.load_stored(self.source, self.decoder, self._numbered[0], mask)
        if self.heldout_split is None and self.heldout_path is None:
            return train, heldout
        other = open_images(self.heldout_path or self.path, self.heldout_split or self.split, bool(self.labels))
        none = torch.zeros(len(other), dtype=torch.bool)
        labels = self._labels(other) if self.classes else None
        classes = None if labels is None else heldout_classes(labels, self.classes, other.path, self.path)
        return train, self.load_stored(other, self.decoder, classes, none)[0]
