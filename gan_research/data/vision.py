"""The usual benchmark sets, in the files and splits of torchvision."""

import pickle
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar, Unpack

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets

from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.folder import PictureData, PictureOptions, fits
from gan_research.data.sets import ImageSet, TensorSet, resize
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for

T = TypeVar("T")
# what torchvision raises for files that are missing, incomplete, damaged, or not to be had
PROBLEMS = (RuntimeError, OSError, EOFError, ImportError, ValueError, AssertionError, KeyError, pickle.UnpicklingError)


def open_files(name: str, place: Path, download: bool, allowed: bool, build: Callable[[bool], T]) -> T:
    """`build(download)`: a torchvision set out of the files in `place`.

    `UserError` where they are missing and fetching fails, or is not asked for (`allowed`: data.download is on).
    """
    try:
        return build(False)
    except PROBLEMS as error:
        found = _one_line(error)
    if not (download and allowed):
        remedy = "put its files there or set data.root to where they are"
        if not allowed:
            remedy = f"set data.download=true, or {remedy}"
        raise UserError(f"{name} is not in {place.absolute()} ({found}): {remedy}")
    try:
        with _network_timeout(10):
            return build(True)
    except PROBLEMS as error:
        raise UserError(
            f"{name} is not in {place.absolute()} and downloading it failed ({_one_line(error)}): "
            "check the network, put its files there, or set data.root to where they are"
        ) from None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:200] + "..."


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """No connection made inside waits longer than this for an answer."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


class VisionOptions(ImageOptions, total=False):
    """The arguments that every set of torchvision's takes, with the defaults of `VisionData`."""

    root: str
    download: bool
    resolution: int | None


class VisionData(ImageData):
    """Base of the sets that torchvision reads as a whole. A subclass says where they lie and how they are built.

    root: the folder that holds torchvision's. download: whether missing files may be fetched.
    resolution: to which images are resized; None: that of the files, `stored_resolution`.
    """

    source: ClassVar[Any]
    place: ClassVar[str]
    stored_resolution: ClassVar[int]

    def __init__(
        self, root: str = "data", download: bool = True, resolution: int | None = None, **images: Unpack[ImageOptions]
    ) -> None:
        super().__init__(**images)
        self.root, self.download = Path(root).expanduser(), download
        self.resolution = resolution or self.stored_resolution

    def split(self, heldout: bool) -> dict[str, Any]:
        """The arguments with which `source` opens the training or the held-out split."""
        return {"train": not heldout}

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        return self._part(False, download), self._part(True, download)

    def _part(self, heldout: bool, download: bool) -> TensorSet:
        def build(fetch: bool) -> Any:
            return self.source(str(self.root), download=fetch, **self.split(heldout))

        opened = open_files(self.name, self.root / self.place, download, self.download, build)
        images = resize(channels_first(opened.data), self.resolution)
        labels = torch.as_tensor(opened.targets) if self.num_classes else None
        return TensorSet(images, labels, on_device=not heldout and self.on_device(images))

    def on_device(self, images: Tensor) -> bool:
        """Whether the training device keeps a copy of the training pictures."""
        return True


def channels_first(data: Tensor | np.ndarray) -> Tensor:
    """uint8 (N, H, W), (N, H, W, 3) or (N, 3, H, W) -> contiguous (N, C, H, W)."""
    images = torch.as_tensor(data)
    if images.dim() == 3:
        images = images[:, None]
    elif images.shape[3] == 3:
        images = images.permute(0, 3, 1, 2)
    return images.contiguous()


class MNIST(VisionData):
    """60 000 handwritten digits of 28x28 pixels (LeCun et al. 1998); 10 000 test digits are held out.

    train_size: train on so many of the 60 000, the first ones (None: on all); 50 000 in Goodfellow et al. 2014.
    """

    name, channels, num_classes, stored_resolution = "mnist", 1, 10, 28
    metrics = "mnist"
    source, place = datasets.MNIST, "MNIST/raw"

    def __init__(self, train_size: int | None = None, **files: Unpack[VisionOptions]) -> None:
        super().__init__(**files)
        if train_size is not None and not 1 <= train_size <= 60_000:
            raise UserError(f"data.train_size={train_size}: give 1 to 60000, or null for all")
        self.train_size = train_size

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        train, heldout = self._part(False, download), self._part(True, download)
        if self.train_size is not None:
            train = TensorSet(*train.read(0, self.train_size), on_device=train.on_device)
        return train, heldout


class FashionMNIST(MNIST):
    """60 000 articles of clothing of 28x28 pixels (Xiao et al. 2017); 10 000 test pictures are held out."""

    name = "fashion_mnist"
    metrics = "inception"  # the classifier knows digits only
    source, place = datasets.FashionMNIST, "FashionMNIST/raw"


class StackedMNIST(MNIST):
    """`size` pictures in 1000 classes: each three MNIST digits a, b, c drawn at random, as red, green and blue.

    The class is 100 a + 10 b + c (Metz et al. 2017; the default `size` is PacGAN's, Lin et al. 2018). Training digits
    are stacked for training (PacGAN's code stacks test digits too), and test digits for `heldout_size` pictures that
    are held out. `stacking_seed` draws the digits, so that runs of any `seed` share the set.
    """

    name, channels, num_classes = "stacked_mnist", 3, 1000
    metrics = "stacked_mnist"

    def __init__(
        self,
        size: int = 128_000,
        heldout_size: int = 26_000,
        stacking_seed: int = 0,
        **files: Unpack[VisionOptions],
    ) -> None:
        super().__init__(**files)
        if size < 1 or heldout_size < 1:
            raise UserError(f"data.size={size} and data.heldout_size={heldout_size} must be at least 1")
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
    source, place = datasets.CIFAR10, datasets.CIFAR10.base_folder


class CIFAR100(CIFAR10):
    """50 000 photos of 32x32 pixels in 100 classes (Krizhevsky 2009); 10 000 test photos are held out."""

    name, num_classes = "cifar100", 100
    source, place = datasets.CIFAR100, datasets.CIFAR100.base_folder


class STL10(VisionData):
    """105 000 photos of 96x96 pixels, the train and unlabeled splits, so without labels (Coates et al. 2011).

    The 8 000 test photos are held out. resident: keep a copy on the training device (None: where it takes no more
    than `resident_limit_gib`); without one the set stays in the host's memory.
    """

    name, channels, num_classes, stored_resolution = "stl10", 3, 0, 96
    flips = True
    source, place = datasets.STL10, datasets.STL10.base_folder

    def __init__(
        self, resident: bool | None = None, resident_limit_gib: float = 2.0, **files: Unpack[VisionOptions]
    ) -> None:
        super().__init__(**files)
        self.resident, self.resident_limit_gib = resident, resident_limit_gib

    def split(self, heldout: bool) -> dict[str, Any]:
        return {"split": "test" if heldout else "train+unlabeled"}

    def on_device(self, images: Tensor) -> bool:
        return self.resident if self.resident is not None else fits(images.numel(), self.resident_limit_gib)


class CelebA(PictureData):
    """162 770 faces (Liu et al. 2015): the central 148 pixels of the aligned pictures, resized; no labels.

    The official validation split is held out. The arguments are those of torchvision's set and of `PictureData`.
    """

    name, channels, num_classes = "celeba", 3, 0
    flips = True
    crop = 148

    def __init__(
        self, root: str = "data", download: bool = True, resolution: int = 64, **pictures: Unpack[PictureOptions]
    ) -> None:
        super().__init__(**pictures)
        self.root, self.download, self.resolution = Path(root).expanduser(), download, resolution

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        folder = self.root / datasets.CelebA.base_folder

        def names(split: str) -> list[str]:
            def build(fetch: bool) -> Any:
                return datasets.CelebA(str(self.root), split=split, target_type=[], download=fetch)

            return open_files(self.name, folder, download, self.download, build).filename

        train, valid = names("train"), names("valid")
        held = torch.arange(len(train) + len(valid)) >= len(train)
        return self.open_pictures(folder / "img_align_celeba", train + valid, None, held, self.crop)
