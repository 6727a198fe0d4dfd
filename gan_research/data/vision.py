"""Benchmark sets, in the files and splits of torchvision."""

import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, ClassVar, TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.folder import FolderData, ImageFileOptions
from gan_research.data.formats.files import Files
from gan_research.data.image_files import Decoder
from gan_research.data.sets import ImageSet, TensorSet, resize
from gan_research.utils.errors import UserError, one_line, require
from gan_research.utils.memory import require_memory
from gan_research.utils.rng import generator_for

T = TypeVar("T")
# what torchvision raises for files that are missing, incomplete, damaged or not available
PROBLEMS = (RuntimeError, OSError, EOFError, ImportError, ValueError, AssertionError, KeyError, pickle.UnpicklingError)


def open_files(name: str, folder: Path, download: bool, allowed: bool, source: Callable[..., T], **options: Any) -> T:
    """Return `source(**options)`, a torchvision set of the files in `folder`.

    Raises a UserError if they are missing, and downloading fails or is switched off (`allowed`: data.download).
    """
    try:
        return source(download=False, **options)
    except PROBLEMS as error:
        reason = shorten(one_line(error), 200)
    if not (download and allowed):
        remedy = "put its files there or set data.root to where they are"
        if not allowed:
            remedy = f"set data.download=true, or {remedy}"
        raise UserError(f"{name} is not in {folder.absolute()} ({reason}): {remedy}")
    try:
        with _network_timeout(10):
            return source(download=True, **options)
    except PROBLEMS as error:
        raise UserError(
            f"{name} is not in {folder.absolute()} and downloading it failed ({shorten(one_line(error), 200)}): "
            "check the network, put its files there, or set data.root to where they are"
        ) from None


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Limit how long connections made inside wait for an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class VisionOptions(ImageOptions, total=False):
    """The arguments that every set of torchvision takes, with the defaults of `VisionData`."""

    root: str
    download: bool
    resolution: int | None


class VisionData(ImageData):
    """Base of the sets that torchvision's `source` reads as a whole, from `folder` in `root`.

    root: torchvision's root. download: whether missing files may be downloaded.
    resolution: of the resized images (None: that of the files, `stored_resolution`).
    """

    source: ClassVar[Any]
    folder: ClassVar[str]
    splits: ClassVar[tuple[dict[str, Any], dict[str, Any]]] = {"train": True}, {"train": False}
    """The arguments of `source` for the training and the held-out set."""
    stored_resolution: ClassVar[int]
    in_random_order = True

    def __init__(
        self, root: str = "data", download: bool = True, resolution: int | None = None, **images: Unpack[ImageOptions]
    ) -> None:
        super().__init__(**images)
        self.root, self.download = Path(root).expanduser(), download
        self.resolution = self.stored_resolution if resolution is None else resolution

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        return self._part(False, download), self._part(True, download)

    def _part(self, heldout: bool, download: bool) -> TensorSet:
        options = {"root": str(self.root), **self.splits[heldout]}
        stored = open_files(self.name, self.root / self.folder, download, self.download, self.source, **options)
        images = resize(channels_first(stored.data), self.resolution)
        labels = torch.as_tensor(stored.targets) if self.num_classes else None
        return TensorSet(images, labels, on_device=not heldout and self.is_resident(images.numel()))


def channels_first(data: Tensor | np.ndarray) -> Tensor:
    """Return uint8 (N, H, W), (N, H, W, 3) or (N, 3, H, W) as contiguous (N, C, H, W)."""
    images = torch.as_tensor(data)
    if images.dim() == 3:
        images = images[:, None]
    elif images.shape[3] == 3:
        images = images.permute(0, 3, 1, 2)
    return images.contiguous()


class MNIST(VisionData):
    """60 000 handwritten digits of 28x28 pixels (LeCun et al. 1998); 10 000 test digits are held out."""

    name, channels, num_classes, stored_resolution = "mnist", 1, 10, 28
    metrics = "mnist"
    source, folder = datasets.MNIST, "MNIST/raw"


class FashionMNIST(MNIST):
    """60 000 articles of clothing of 28x28 pixels (Xiao et al. 2017); 10 000 test images are held out."""

    name = "fashion_mnist"
    metrics = "inception"  # the classifier knows digits only
    source, folder = datasets.FashionMNIST, "FashionMNIST/raw"


class StackedMNIST(MNIST):
    """Images in 1000 classes: three random MNIST digits a, b, c as red, green and blue.

    The class is 100 a + 10 b + c (Metz et al. 2017). `size` images are made of training digits (the default is
    PacGAN's, Lin et al. 2018, whose code stacks test digits too), and `heldout_size` of test digits. The digits are
    drawn from `stacking_seed`, so that runs of any `seed` share the set.
    """

    name, channels, num_classes = "stacked_mnist", 3, 1000
    metrics = "stacked_mnist"

    def __init__(
        self, size: int = 128_000, heldout_size: int = 26_000, stacking_seed: int = 0, **files: Unpack[VisionOptions]
    ) -> None:
        super().__init__(**files)
        require(1, **{"data.size": size, "data.heldout_size": heldout_size})
        require_memory(f"data.size={size}", size, 3, self.resolution, self.resolution)
        self.sizes, self.stacking_seed = {False: size, True: heldout_size}, stacking_seed

    def _part(self, heldout: bool, download: bool) -> TensorSet:
        digits = super()._part(heldout, download)
        assert digits.labels is not None
        generator = generator_for(self.stacking_seed, f"stack {'held-out' if heldout else 'train'} digits")
        chosen = torch.randint(len(digits), (self.sizes[heldout], 3), generator=generator)
        labels = digits.labels[chosen] @ torch.tensor([100, 10, 1])
        return TensorSet(digits.images[:, 0][chosen], labels, digits.on_device)


class CIFAR10(VisionData):
    """50 000 photos of 32x32 pixels in 10 classes (Krizhevsky 2009); 10 000 test photos are held out."""

    name, channels, num_classes, stored_resolution = "cifar10", 3, 10, 32
    flips = True
    source, folder = datasets.CIFAR10, datasets.CIFAR10.base_folder


class CIFAR100(CIFAR10):
    """50 000 photos of 32x32 pixels in 100 classes (Krizhevsky 2009); 10 000 test photos are held out."""

    name, num_classes = "cifar100", 100
    source, folder = datasets.CIFAR100, datasets.CIFAR100.base_folder


class STL10(VisionData):
    """105 000 photos of 96x96 pixels without labels (Coates et al. 2011).

    They are the train and unlabeled splits; the 8 000 test photos are held out. resident: keep a copy on the training
    device (None: if it takes no more than `resident_limit_gib`), not only in the host's memory.
    """

    name, channels, num_classes, stored_resolution = "stl10", 3, 0, 96
    flips = True
    source, folder = datasets.STL10, datasets.STL10.base_folder
    splits = {"split": "train+unlabeled"}, {"split": "test"}

    def __init__(
        self, resident: bool | None = None, resident_limit_gib: float = 2.0, **files: Unpack[VisionOptions]
    ) -> None:
        super().__init__(**files)
        self.resident, self.resident_limit_gib = resident, resident_limit_gib


class CelebA(FolderData):
    """162 770 faces (Liu et al. 2015): the central 148 pixels of the aligned images, resized; no labels.

    The official validation split is held out. Takes the arguments of torchvision's set and of `ImageFileData`.
    """

    name, channels, num_classes = "celeba", 3, 0
    flips = True
    crop = 148

    def __init__(
        self, root: str = "data", download: bool = True, resolution: int = 64, **files: Unpack[ImageFileOptions]
    ) -> None:
        super().__init__(**files)
        self.root, self.download, self.resolution = Path(root).expanduser(), download, resolution

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        folder = self.root / datasets.CelebA.base_folder

        def names(split: str) -> list[str]:
            options = {"root": str(self.root), "split": split, "target_type": []}
            return open_files(self.name, folder, download, self.download, datasets.CelebA, **options).filename

        train, valid = names("train"), names("valid")
        heldout = torch.arange(len(train) + len(valid)) >= len(train)
        decoder = Decoder(self.resolution, self.channels, self.crop)
        return self.load_stored(Files(folder / "img_align_celeba", train + valid), decoder, None, heldout)
