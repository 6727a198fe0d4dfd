"""Images of an .npz file."""

import math
from functools import cached_property
from pathlib import Path
from textwrap import shorten
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.labels import checked_labels, heldout_classes, number_classes
from gan_research.data.sets import ImageSet, TensorSet, held_out
from gan_research.utils.errors import UserError
from gan_research.utils.paths import ExistingPath, refuse_archive
from gan_research.utils.reading import reason_of, require_no_bomb

IMAGE_KEYS = ("images", "x", "arr_0")
LABEL_KEYS = ("labels", "y", "arr_1")  # the last of ADM and numpy.savez


class Arrays(ImageData):
    """The images of an .npz file: uint8 (N, H, W, C), (N, C, H, W) or (N, H, W) under "images", "x" or "arr_0".

    Labels are optional, under "labels", "y" or "arr_1": (N,) integers from 0, or words. Classes are numbered in sorted
    order of labels, without gaps.
    heldout_path: a second file, of images to hold out; or
    heldout: the share of images of `path` to hold out, evenly spaced.
    resolution: the resolution that the images must have; they are never resized (None: any).
    resident: keep a copy on the training device (None: if it takes no more than `resident_limit_gib`).
    """

    def __init__(
        self,
        path: ExistingPath,
        heldout_path: ExistingPath | None = None,
        heldout: float = 0.0,
        resolution: int | None = None,
        resident: bool | None = None,
        resident_limit_gib: float = 2.0,
        **images: Unpack[ImageOptions],
    ) -> None:
        super().__init__(**images)
        if heldout_path is not None and heldout:
            raise UserError("data.heldout_path and data.heldout exclude each other: give only one")
        self.path = Path(path).expanduser()
        self.name = self.path.stem
        self.heldout_path = None if heldout_path is None else Path(heldout_path).expanduser()
        self.heldout_fraction, self.expected_resolution = heldout, resolution
        self.resident, self.resident_limit_gib = resident, resident_limit_gib

    @cached_property
    def _content(self) -> tuple[Tensor, np.ndarray | None]:
        images, labels = read_npz(self.path)
        if self.expected_resolution not in (None, images.shape[-1]):
            raise UserError(
                f"{self.path} has images of {images.shape[-1]} pixels, not of data.resolution="
                f"{self.expected_resolution}: set data.resolution={images.shape[-1]}, or resize the file's images"
            )
        return images, labels

    @cached_property
    def resolution(self) -> int:  # type: ignore[override]
        return self._content[0].shape[3]

    @cached_property
    def channels(self) -> int:  # type: ignore[override]
        return self._content[0].shape[1]

    @cached_property
    def _numbered(self) -> tuple[Tensor | None, list[Any]]:
        """The class of each image, and the label of each class."""
        labels = self._content[1]
        return (None, []) if labels is None else number_classes(labels)

    @property
    def classes(self) -> list[Any]:  # type: ignore[override]
        """The label of each class; none without labels."""
        return self._numbered[1]

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        return len(self.classes)

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        images, labels = self._content[0], self._numbered[0]
        _ = self.resolution, self.channels  # cached, before the content is freed
        del self._content
        resident = self.is_resident(images.numel())
        mask = held_out(len(images), self.heldout_fraction)
        if not mask.any():
            return TensorSet(images, labels, resident), self._second_file(images)

        def part(mask: Tensor, on_device: bool) -> TensorSet:
            return TensorSet(images[mask], None if labels is None else labels[mask], on_device)

        return part(~mask, resident), part(mask, False)

    def _second_file(self, train: Tensor) -> TensorSet | None:
        if self.heldout_path is None:
            return None
        images, labels = read_npz(self.heldout_path)
        if images.shape[1:] != train.shape[1:]:
            size, train_size = ("x".join(map(str, shape[1:])) for shape in (images.shape, train.shape))
            raise UserError(
                f"{self.heldout_path} has images of {size}, {self.path} of {train_size}: both must be of one size"
            )
        if labels is None or not self.classes:
            return TensorSet(images, on_device=False)
        return TensorSet(images, heldout_classes(labels, self.classes, self.heldout_path, self.path), on_device=False)


def read_npz(path: Path) -> tuple[Tensor, np.ndarray | None]:
    """Read images uint8 (N, C, H, W), and labels (N,) or None, `checked_labels`; UserError if there are no images."""
    refuse_archive(path, "give a folder of its images, with data=image_folder to gan train")
    if not path.is_file():
        raise UserError(
            f"no file {path.absolute()}: give an .npz file (to gan train as data.path or data.heldout_path, to gan "
            "evaluate as --data-root)"
        )
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError("a single array")
        with content:
            assert content.zip is not None
            require_no_bomb(content.zip)
            key = next((k for k in IMAGE_KEYS if k in content), None)
            if key is None:
                raise UserError(
                    f"{path} has no images: save them under one of {', '.join(IMAGE_KEYS)} (it has "
                    f"{shorten(', '.join(content.files), 200) or 'nothing'})"
                )
            images = _channels_first(content[key], f"'{key}' of {path}")
            labels, label_key = None, next((k for k in LABEL_KEYS if k in content), None)
            if label_key is not None:
                labels = checked_labels(content[label_key], len(images), f"'{label_key}' of {path}")
    except UserError:
        raise
    except Exception as error:  # damaged files raise anything
        problem = f"{path} cannot be read as an .npz file ({reason_of(error)})"
        raise UserError(f"{problem}: save it with numpy.savez") from None
    return images, labels


def read_samples(path: Path) -> TensorSet:
    """Return the images of an .npz file, with their labels as classes; UserError if these are words."""
    images, labels = read_npz(path)
    if labels is not None and labels.dtype.kind != "u":
        raise UserError(f"the labels in {path} are words: number the classes as the generator's, from 0")
    return TensorSet(images, None if labels is None else torch.from_numpy(labels.astype(np.int64)))


def _channels_first(array: np.ndarray, what: str) -> Tensor:
    shape = array.shape
    if array.dtype != np.uint8:
        raise UserError(f"{what} is {array.dtype}: save the images as uint8, 0 to 255")
    if len(shape) not in (3, 4) or math.prod(shape) == 0:
        raise UserError(f"{what} has shape {shape}: it must be (N, H, W), (N, H, W, C) or (N, C, H, W), and not empty")
    if len(shape) == 3:
        array = array[:, None]
    elif shape[1] == shape[2] == shape[3]:
        raise UserError(f"{what} has shape {shape}, in which channels and pixels look alike: no such set is supported")
    elif shape[1] == shape[2]:
        array = array.transpose(0, 3, 1, 2)
    if array.shape[2] != array.shape[3]:
        raise UserError(
            f"{what} has shape {shape}, which is not square: crop the images to squares (gan evaluate takes a folder "
            "of images of any shape)"
        )
    return torch.from_numpy(np.ascontiguousarray(array))
