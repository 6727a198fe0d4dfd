"""Arrays of .npz files: of ADM and numpy.savez, and ImageNet downsampled to 16, 32 or 64 pixels."""

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from gan_research.data.arrays import read_npz
from gan_research.data.formats.base import Indexed, Label, PerProcess
from gan_research.utils.errors import UserError


class NPZ(Indexed):
    """The images and labels of an .npz file, as `Arrays` reads them."""

    encoded = False

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        images, labels = read_npz(path)
        self.images, self.labels = images.numpy(), None if labels is None else labels.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def stored(self, index: int) -> np.ndarray:
        return self.images[index]

    def label(self, index: int) -> Label:
        return None if self.labels is None else self.labels[index]


class DownsampledImageNet(Indexed):
    """ImageNet of Chrabaszcz et al. 2017 in .npz parts: `data` (N, 3 * H * W) uint8; `labels` from 1 become from 0."""

    encoded = False

    def __init__(self, path: Path, parts: Sequence[Path]) -> None:
        super().__init__(path, parts)
        self.parts = PerProcess(partial(_open, tuple(parts)))
        for part, images in zip(parts, self.parts(), strict=True):
            side = round((images.shape[-1] / 3) ** 0.5)
            if images.ndim != 2 or images.dtype != np.uint8 or 3 * side**2 != images.shape[1]:
                found = f"{images.dtype} {images.shape}"
                raise UserError(f"'data' of {part} is {found}: give ImageNet's parts, uint8 (N, 3 * H * W)")
        self.starts = np.cumsum([0, *map(len, self.parts())])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def _part(self, index: int) -> int:
        return int(np.searchsorted(self.starts, index, "right")) - 1

    def file(self, index: int) -> Path:
        return self.files[self._part(index)]

    def stored(self, index: int) -> np.ndarray:
        part = self._part(index)
        flat = self.parts()[part][index - self.starts[part]]
        side = round((len(flat) / 3) ** 0.5)
        return flat.reshape(3, side, side)

    @cached_property
    def labels(self) -> list[int]:
        labels = np.concatenate([member(part, "labels") for part in self.files])
        if labels.shape != (len(self),) or labels.min() < 1:
            raise UserError(f"the labels in {self.path} are {labels.shape} from {labels.min()}: they have to be from 1")
        return (labels.astype(np.int64) - 1).tolist()

    def label(self, index: int) -> int:
        return self.labels[index]


def is_downsampled(path: Path) -> bool:
    """Return whether a file is a part of downsampled ImageNet: an .npz with `data` and `labels`."""
    try:
        with ZipFile(path) as archive:
            return {"data.npy", "labels.npy"} <= set(archive.namelist())
    except Exception:  # read_npz reports it
        return False


def _open(parts: Sequence[Path]) -> list[np.ndarray]:
    return [member(part, "data") for part in parts]


def member(path: Path, name: str) -> Any:
    """Return an array of an .npz file; it stays in the file, mapped into memory, unless it is compressed."""
    with ZipFile(path) as archive:
        info = archive.getinfo(f"{name}.npy")
        with archive.open(info) as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = read(file)
            header = file.tell()
        if info.compress_type != ZIP_STORED or fortran or dtype.hasobject:
            with archive.open(info) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        assert archive.fp is not None
        archive.fp.seek(info.header_offset + 26)  # of the local header: the lengths of the name and of the extra field
        lengths = np.frombuffer(archive.fp.read(4), "<u2")
    offset = info.header_offset + 30 + int(lengths.sum()) + header
    return np.memmap(path, dtype, "r", offset, shape)
