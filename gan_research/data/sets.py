"""Sets of real samples: images in memory, mapped from a file, or decoded from files on each access."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gan_research.data.formats.base import Indexed
from gan_research.data.formats.files import Files
from gan_research.data.image_files import ImageDecoder, reason
from gan_research.utils.errors import UserError
from gan_research.utils.memory import require_memory

Read = tuple[Tensor, Tensor | None]


class SampleSet(ABC):
    """Real samples in a fixed order, each of `sample_shape`, with int64 labels (N,) or None.

    files: the image files that they were read from: number, sizes, modes, and what was left out; empty if none.
    """

    labels: Tensor | None
    files: str = ""
    sample_shape: tuple[int, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, start: int, stop: int) -> Read:
        """Return the samples [start, stop), on the CPU: (n, *sample_shape), and their labels (n,) or None."""

    @abstractmethod
    def gather(self, indices: Sequence[int] | Tensor) -> Read:
        """Return the samples at `indices` and their labels, as `read` does."""

    @abstractmethod
    def content_hash(self) -> str:
        """Return a hash of the content, under which statistics are cached; the set's name is not used."""

    def batches(self, batch_size: int) -> Iterator[Read]:
        """Yield every sample once, in the set's order; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.read(start, min(start + batch_size, len(self)))

    def take(self, n: int) -> Tensor:
        """Return the first n samples, or all if there are fewer: (n, *sample_shape)."""
        return self.read(0, min(n, len(self)))[0]


class ImageSet(SampleSet):
    """Real images: uint8 (C, H, W) each."""

    @abstractmethod
    def subset(self, indices: Tensor) -> "ImageSet":
        """Return the set of the images at `indices`, in that order."""

    def content_hash(self) -> str:
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for part in self._content():
            digest.update(part)
        if self.labels is not None:
            digest.update(b"labels")
            digest.update(_bytes(self.labels))
        return digest.hexdigest()

    @abstractmethod
    def _content(self) -> Iterable[bytes | memoryview]:
        """Return the content to hash, without labels."""


class TensorSet(ImageSet):
    """Images in memory; if `on_device`, training keeps a copy on its device and indexes there."""

    def __init__(self, images: Tensor, labels: Tensor | None = None, on_device: bool = True, files: str = "") -> None:
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise ValueError(f"images must be uint8 (N, C, H, W), not {images.dtype} {tuple(images.shape)}")
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(f"{tuple(labels.shape)} labels for {len(images)} images")
        self.images = images.contiguous()
        self.labels = None if labels is None else labels.long()
        self.on_device, self.files = on_device, files
        self.sample_shape = tuple(images.shape[1:])
        self._copies: dict[torch.device, Read] = {}

    def __len__(self) -> int:
        return len(self.images)

    def read(self, start: int, stop: int) -> Read:
        return self.images[start:stop], None if self.labels is None else self.labels[start:stop]

    def gather(self, indices: Sequence[int] | Tensor) -> Read:
        rows = torch.as_tensor(indices, dtype=torch.int64)
        return self.images.index_select(0, rows), None if self.labels is None else self.labels.index_select(0, rows)

    def subset(self, indices: Tensor) -> "TensorSet":
        return TensorSet(*self.gather(indices.tolist()), self.on_device, self.files)

    def on(self, device: torch.device) -> Read:
        """Return images and labels on `device`, copied there once."""
        if device not in self._copies:
            labels = None if self.labels is None else self.labels.to(device)
            self._copies[device] = (self.images.to(device), labels)
        return self._copies[device]

    def _content(self) -> Iterable[bytes | memoryview]:
        return f"{tuple(self.images.shape)}".encode(), _bytes(self.images)


class MappedSet(ImageSet):
    """Rows of images in a file that is mapped into memory: the system keeps in memory what is in use."""

    def __init__(self, images: Tensor, rows: Tensor, labels: Tensor | None = None, files: str = "") -> None:
        self.images, self.rows, self.files = images, rows, files
        self.labels = None if labels is None else labels.long()
        self.sample_shape = tuple(images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, start: int, stop: int) -> Read:
        return self.gather(range(start, stop))

    def gather(self, indices: Sequence[int] | Tensor) -> Read:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        labels = None if self.labels is None else self.labels.index_select(0, chosen)
        return self.images.index_select(0, self.rows.index_select(0, chosen)), labels

    def subset(self, indices: Tensor) -> "MappedSet":
        return MappedSet(
            self.images, self.rows[indices], None if self.labels is None else self.labels[indices], self.files
        )

    def _content(self) -> Iterable[bytes | memoryview]:
        return pixels_of(self)


class StoredSet(ImageSet):
    """Rows of stored images, decoded on each access. Its content hash is of the decoded images."""

    def __init__(
        self, source: Indexed, decoder: ImageDecoder, rows: Tensor, labels: Tensor | None = None, files: str = ""
    ) -> None:
        self.source, self.decoder, self.rows, self.files = source, decoder, rows, files
        self.labels = None if labels is None else labels.long()
        self.sample_shape = decoder.shape
        _ = source.stamps  # from now on, a change of a file is noticed

    def __len__(self) -> int:
        return len(self.rows)

    def decode(self, number: int) -> np.ndarray:
        """Decode one image: uint8 (C, H, W). Raises a UserError with its name if it can't be read."""
        index = int(self.rows[number])
        try:
            return self.source.read(index, self.decoder)
        except UserError:
            raise
        except Exception as error:  # a decoder can raise anything for a damaged file
            place = f"{self.source.path}/{self.source.name(index)}"
            raise UserError(
                f"the image {place} cannot be read ({reason(error, place)}): repair it from a copy and resume, or "
                "start a new run with data.skip_corrupt=true"
            ) from None

    def subset(self, indices: Tensor) -> "StoredSet":
        part = copy(self)
        part.rows, part.labels = self.rows[indices], None if self.labels is None else self.labels[indices]
        part.__dict__.pop("_content_hash", None)
        return part

    def gather(self, indices: Sequence[int] | Tensor) -> Read:
        return self._stack(map(self.decode, indices), torch.as_tensor(indices))

    def read(self, start: int, stop: int) -> Read:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return self._stack(pool.map(self.decode, range(start, stop)), slice(start, stop))

    def _stack(self, images: Iterable[np.ndarray], rows: Tensor | slice) -> Read:
        stacked = np.array(list(images), np.uint8).reshape(-1, *self.sample_shape)  # there may be none
        return torch.from_numpy(stacked), None if self.labels is None else self.labels[rows]

    def _content(self) -> Iterable[bytes | memoryview]:
        return pixels_of(self)


class FileSet(StoredSet):
    """Image files below `root`, decoded on each access.

    Its content hash is of the files' bytes in order, the decoder, and labels, so that nothing has to be decoded for
    it; names don't matter.
    """

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        decoder: ImageDecoder,
        labels: Tensor | None = None,
        files: str = "",
    ) -> None:
        super().__init__(Files(root, list(names)), decoder, torch.arange(len(names)), labels, files)

    def _content(self) -> Iterable[bytes | memoryview]:
        yield f"{self.decoder}".encode()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            yield from pool.map(_file_hash, (self.source.files[row] for row in self.rows.tolist()))


def _file_hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, hashlib.blake2b).digest()


def pixels_of(images: ImageSet) -> Iterator[bytes | memoryview]:
    """Yield the shape of a set and its pixels: the content of a `TensorSet` of the same images."""
    yield f"{(len(images), *images.sample_shape)}".encode()
    for batch, _ in images.batches(1000):
        yield _bytes(batch)


def _bytes(values: Tensor) -> memoryview:
    return values.contiguous().numpy().reshape(-1).view(np.uint8).data


def resize(images: Tensor, resolution: int) -> Tensor:
    """Resize uint8 (N, C, H, W) to (N, C, resolution, resolution): antialiased bilinear, rounded."""
    size = (resolution, resolution)
    if tuple(images.shape[2:]) == size:
        return images
    require_memory(f"data.resolution={resolution}", *images.shape[:2], *size)
    chunks = (F.interpolate(chunk.float(), size, mode="bilinear", antialias=True) for chunk in images.split(1024))
    return torch.cat([chunk.round_().clamp_(0, 255).to(torch.uint8) for chunk in chunks])


def held_out(count: int, fraction: float) -> Tensor:
    """Return a mask (count,) of the images to hold out: `fraction` of them, evenly spaced (every n-th at 1/n)."""
    if not 0 <= fraction < 1:
        raise UserError(f"data.heldout={fraction} is no fraction: give one from 0 (hold nothing out) to below 1")
    steps = torch.floor(torch.arange(count + 1, dtype=torch.float64) * fraction)
    mask = steps[1:] > steps[:-1]
    if fraction > 0 and not mask.any():
        raise UserError(f"data.heldout={fraction} of {count} images holds none out: raise it, or set it to 0")
    return mask
