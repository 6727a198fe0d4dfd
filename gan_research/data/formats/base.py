"""`Indexed`, the protocol of stored images: their number, and the image and the label at an index."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from gan_research.data.image_files import AsItIs, Facts, ImageDecoder, Shape, Stored, attempt, read_facts
from gan_research.utils.errors import UserError

T = TypeVar("T")

Label = int | str | Sequence[float] | None
"""The label of an image: a class as a number or a word, attributes as numbers, or none."""

AS_STORED = AsItIs((1, 1, 1))


class Indexed(ABC):
    """Stored images in a fixed order. A format implements `__len__`, `stored`, and where it has them, labels.

    path: the file or folder. left_out: other content, counted by kind. encoded: reading an image takes the time
    of decoding. It can be used in several threads, and sent to other processes, which open its files themselves.
    """

    encoded = True

    def __init__(self, path: Path, files: Sequence[Path] | None = None) -> None:
        self.path, self.left_out = path, Counter[str]()
        self.files = [path] if files is None else list(files)

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def stored(self, index: int) -> Stored:
        """Return an image as it is stored."""

    def label(self, index: int) -> Label:
        """Return the label of an image; None if it has none."""
        return None

    def name(self, index: int) -> str:
        """Return the name of an image below `path`, for messages."""
        return f"[{index}]"

    @property
    def names(self) -> list[str]:
        """The name of each image below `path`."""
        return [self.name(index) for index in range(len(self))]

    def file(self, index: int) -> Path:
        """Return the file that contains an image."""
        return self.files[0]

    def read(self, index: int, decoder: ImageDecoder = AS_STORED) -> np.ndarray:
        """Return an image: uint8 (C, H, W)."""
        return self.decode(index, decoder)[0]

    def decode(self, index: int, decoder: ImageDecoder = AS_STORED) -> tuple[np.ndarray, Facts]:
        """Return an image, uint8 (C, H, W), and its facts. A UserError if its file was changed since the start."""
        file = self.file(index)
        if stamp(file) != self.stamps[file]:
            raise UserError(f"{file} was changed while it was in use: restore it and resume, or start a new run")
        return decoder.read(self.stored(index))

    def facts(self, index: int) -> Facts:
        """Return the facts in the header of an image."""
        return read_facts(self.stored(index))

    def first_shape(self) -> Shape:
        """Return the shape (C, H, W) of the first image that can be read; (1, 1, 1) if there is none."""
        for index in range(len(self)):
            with suppress(Exception):  # damaged: reported when all are decoded
                return self.decode(index)[1].shape
        return 1, 1, 1

    def decode_all(self, decoder: ImageDecoder, keep: bool = True) -> tuple[Tensor | None, list[Facts | Exception]]:
        """Decode all images on all cores: uint8 (N, C, H, W) to `keep`, or None; the facts of each, or its error."""
        images = torch.zeros(len(self), *decoder.shape, dtype=torch.uint8) if keep else None
        return images, self.decode_into(None if images is None else images.numpy(), range(len(self)), decoder)

    def decode_into(
        self, images: np.ndarray | None, indices: Sequence[int], decoder: ImageDecoder
    ) -> list[Facts | Exception]:
        """Decode images on all cores into rows of `images`; return the facts of each, or its error."""

        def decode(row: int) -> Facts:
            image, facts = self.decode(indices[row], decoder)
            if images is not None and image.shape == decoder.shape:
                images[row] = image
            return facts

        return attempt(decode, range(len(indices)))

    @cached_property
    def stamps(self) -> dict[Path, tuple[int, int] | None]:
        """The size and time of each file at the first access."""
        return {file: stamp(file) for file in self.files}

    def fingerprint(self) -> bytes:
        """Return a hash of the files' names, sizes and times."""
        files = (f"{str(file).removeprefix(str(self.path))} {stamp}\n" for file, stamp in self.stamps.items())
        return blake2b(f"{type(self).__name__}\n{''.join(files)}".encode(errors="surrogateescape")).digest()

    def require_unchanged(self) -> None:
        """Raise a UserError if a file was changed since the start."""
        if changed := [file for file, before in self.stamps.items() if stamp(file) != before]:
            raise UserError(f"{changed[0]} was changed while it was read: start again when all files are in place")


def stamp(file: Path) -> tuple[int, int] | None:
    """Return the size of a file in bytes and its time in ns; None if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


class PerProcess(Generic[T]):
    """An open file, which each process opens itself: processes can't share its position."""

    def __init__(self, open_it: Callable[[], T]) -> None:
        self.open_it = open_it
        self.opened: tuple[int, T] | None = None

    def __call__(self) -> T:
        if self.opened is None or self.opened[0] != os.getpid():
            self.opened = os.getpid(), self.open_it()
        return self.opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {"open_it": self.open_it, "opened": None}
