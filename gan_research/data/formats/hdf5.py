"""HDF5 as of BigGAN-PyTorch, (N, 3, H, W), and of StudioGAN, (N, H, W, 3): `imgs` uint8 and `labels`."""

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from gan_research.data.formats.base import Indexed, Label, PerProcess
from gan_research.utils.errors import UserError, import_extra

IMAGE_KEYS, LABEL_KEYS = ("imgs", "images", "data", "x"), ("labels", "label", "y")

CHUNKS = 2**26  # bytes of chunks that are kept in memory, so that images in order read each once


class HDF5(Indexed):
    """The images of an HDF5 file; the axis of 1 or 3 channels is the second or the last."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        h5py: Any = import_extra("h5py", "hdf5", f"{path}, which is HDF5,")
        self.archive = PerProcess(partial(h5py.File, path, "r", rdcc_nbytes=CHUNKS))
        try:
            sets = {name: node.shape for name, node in self.archive().items() if hasattr(node, "shape")}
        except OSError as error:
            raise UserError(f"{path} can't be read as HDF5 ({error}): download or write it again") from None
        self.images, self.labels_key = (_key(sets, keys) for keys in (IMAGE_KEYS, LABEL_KEYS))
        if self.images is None:
            found = ", ".join(sets) or "nothing"
            raise UserError(f"{path} has no images under one of {', '.join(IMAGE_KEYS)} (it has {found}): rename them")
        self.shape = sets[self.images]
        stored = self.archive()[self.images]
        self.encoded = stored.chunks is not None  # a chunk is read as a whole, of 500 images in BigGAN-PyTorch
        self.channels_last = self._check(stored.dtype)
        if self.labels_key is not None and sets[self.labels_key] != self.shape[:1]:
            raise UserError(f"{path} has labels {sets[self.labels_key]} for {self.shape[0]} images: save one an image")

    def _check(self, dtype: Any) -> bool:
        """Return whether channels are last; a UserError unless the images are uint8 in one of the layouts."""
        what, shape = f"{self.images!r} of {self.path}", self.shape
        if dtype != np.uint8:
            raise UserError(f"{what} is {dtype}: save the images as uint8, 0 to 255")
        if len(shape) not in (3, 4) or 0 in shape:
            layouts = "(N, 3, H, W), (N, H, W, 3) or (N, H, W)"
            raise UserError(f"{what} has shape {shape}: save the images as {layouts}, and not empty")
        first, last = ((*shape, 0)[axis] in (1, 3) for axis in (1, 3))
        if len(shape) == 4 and first == last:
            found = "both the second and the last axis are" if first else "neither the second nor the last axis is"
            raise UserError(f"{what} has shape {shape}, and {found} 1 or 3: save (N, 3, H, W) with H, W > 3")
        return len(shape) == 4 and last

    def __len__(self) -> int:
        return self.shape[0]

    def name(self, index: int) -> str:
        return f"{self.images}[{index}]"

    def stored(self, index: int) -> np.ndarray:
        image = self.archive()[self.images][index]
        return image[None] if image.ndim == 2 else image.transpose(2, 0, 1) if self.channels_last else image

    @cached_property
    def labels(self) -> list[Any]:
        labels = self.archive()[self.labels_key]
        return [label.decode() if isinstance(label, bytes) else label for label in labels[:].tolist()]

    def label(self, index: int) -> Label:
        return None if self.labels_key is None else self.labels[index]


def _key(sets: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return next((key for key in keys if key in sets), None)
