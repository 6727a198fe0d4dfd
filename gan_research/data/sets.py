"""Sets of real samples; of pictures, whole in memory (`TensorSet`) or decoded from files when wanted (`FileSet`)."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gan_research.data.pictures import PictureDecoder
from gan_research.utils.errors import UserError

Read = tuple[Tensor, Tensor | None]


class SampleSet(ABC):
    """Real samples in a fixed order, each of `sample_shape`, with int64 labels (N,) or None."""

    labels: Tensor | None
    sample_shape: tuple[int, ...]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, start: int, stop: int) -> Read:
        """The samples [start, stop), on the CPU: (n, *sample_shape), and their labels (n,) or None."""

    @abstractmethod
    def gather(self, indices: Sequence[int]) -> Read:
        """The samples at `indices`, and their labels, as `read` gives them."""

    @abstractmethod
    def content_hash(self) -> str:
        """A name for what the set holds: statistics are kept under it, never under the set's name."""

    def batches(self, batch_size: int) -> Iterator[Read]:
        """Every sample once, in the set's order, `batch_size` at a time; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self.read(start, min(start + batch_size, len(self)))

    def take(self, n: int) -> Tensor:
        """The first n samples (or all, where there are fewer): (n, *sample_shape)."""
        return self.read(0, min(n, len(self)))[0]


class ImageSet(SampleSet):
    """Real pictures: uint8 (C, H, W) each."""


class TensorSet(ImageSet):
    """Pictures held in memory; with `on_device` training keeps a copy on its device and indexes there."""

    def __init__(self, images: Tensor, labels: Tensor | None = None, on_device: bool = True) -> None:
        if images.dtype != torch.uint8 or images.dim() != 4:
            raise ValueError(f"images must be uint8 (N, C, H, W), not {images.dtype} {tuple(images.shape)}")
        if labels is not None and labels.shape != images.shape[:1]:
            raise ValueError(f"{tuple(labels.shape)} labels for {len(images)} images")
        self.images = images.contiguous()
        self.labels = None if labels is None else labels.long()
        self.on_device = on_device
        self.sample_shape = tuple(images.shape[1:])
        self._copies: dict[torch.device, Read] = {}

    def __len__(self) -> int:
        return len(self.images)

    def read(self, start: int, stop: int) -> Read:
        return self.images[start:stop], None if self.labels is None else self.labels[start:stop]

    def gather(self, indices: Sequence[int]) -> Read:
        places = torch.as_tensor(indices)
        return self.images[places], None if self.labels is None else self.labels[places]

    def on(self, device: torch.device) -> Read:
        """Images and labels on `device`, copied there once."""
        if device not in self._copies:
            labels = None if self.labels is None else self.labels.to(device)
            self._copies[device] = (self.images.to(device), labels)
        return self._copies[device]

    def content_hash(self) -> str:
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest = hashlib.blake2b(f"{tuple(self.images.shape)}".encode(), digest_size=16)
        digest.update(_bytes(self.images))
        if self.labels is not None:
            digest.update(b"labels")
            digest.update(_bytes(self.labels))
        return digest.hexdigest()


class FileSet(ImageSet):
    """Picture files below `root`, decoded each time they are wanted."""

    def __init__(self, root: Path, names: Sequence[str], decoder: PictureDecoder, labels: Tensor | None = None) -> None:
        self.root, self.names, self.decoder = root, list(names), decoder
        self.labels = None if labels is None else labels.long()
        self.sample_shape = decoder.shape

    def __len__(self) -> int:
        return len(self.names)

    def decode(self, number: int) -> np.ndarray:
        """Picture `number`: uint8 (C, H, W). `UserError` with the file's name where it cannot be read."""
        path = self.root / self.names[number]
        try:
            return self.decoder(path)
        except Exception as error:  # a damaged file can raise anything from within a decoder
            reason = " ".join(str(error).split())
            raise UserError(f"the picture {path} cannot be read ({reason}): remove or repair it") from None

    def gather(self, indices: Sequence[int]) -> Read:
        """The pictures at `indices`, one after the other in this process."""
        images = torch.from_numpy(np.stack([self.decode(i) for i in indices]))
        return images, None if self.labels is None else self.labels[torch.as_tensor(indices)]

    def read(self, start: int, stop: int) -> Read:
        if start >= stop:
            none = torch.empty(0, *self.sample_shape, dtype=torch.uint8)
            return none, None if self.labels is None else self.labels[:0]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = torch.from_numpy(np.stack(list(pool.map(self.decode, range(start, stop)))))
        return images, None if self.labels is None else self.labels[start:stop]

    def content_hash(self) -> str:
        """Over the bytes of the files in their order, how they are decoded, and labels; names don't matter."""
        return self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        digest = hashlib.blake2b(f"{self.decoder}".encode(), digest_size=16)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for file in pool.map(self._file_hash, self.names):
                digest.update(file)
        if self.labels is not None:
            digest.update(b"labels")
            digest.update(_bytes(self.labels))
        return digest.hexdigest()

    def _file_hash(self, name: str) -> bytes:
        with (self.root / name).open("rb") as file:
            return hashlib.file_digest(file, hashlib.blake2b).digest()


def _bytes(values: Tensor) -> memoryview:
    return values.contiguous().numpy().reshape(-1).view(np.uint8).data


def resize(images: Tensor, resolution: int) -> Tensor:
    """uint8 (N, C, H, W) -> uint8 (N, C, resolution, resolution): antialiased bilinear, rounded."""
    if tuple(images.shape[2:]) == (resolution, resolution):
        return images
    size = (resolution, resolution)
    chunks = (F.interpolate(chunk.float(), size, mode="bilinear", antialias=True) for chunk in images.split(1024))
    return torch.cat([chunk.round_().clamp_(0, 255).to(torch.uint8) for chunk in chunks])


def held_out(count: int, fraction: float) -> Tensor:
    """A mask (count,) of the pictures to hold out: `fraction` of them, evenly spaced (every n-th at 1/n)."""
    if not 0 <= fraction < 1:
        raise UserError(f"data.heldout={fraction} is no fraction: give one from 0 (hold nothing out) to below 1")
    steps = torch.floor(torch.arange(count + 1, dtype=torch.float64) * fraction)
    mask = steps[1:] > steps[:-1]
    if fraction > 0 and not mask.any():
        raise UserError(f"data.heldout={fraction} of {count} pictures holds none out: raise it, or set it to 0")
    return mask
