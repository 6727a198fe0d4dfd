"""Sets of image files: any folder of images, and the base that it shares with CelebA."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Unpack

import torch
from torch import Tensor

from gan_research.data import image_files
from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.sets import FileSet, ImageSet, TensorSet, held_out
from gan_research.utils.errors import UserError
from gan_research.utils.paths import ExistingPath


class ImageFileOptions(ImageOptions, total=False):
    """The arguments that every set of image files takes, with the defaults of `ImageFileData`."""

    resident: bool | None
    resident_limit_gib: float
    skip_corrupt: bool
    num_workers: int


class ImageFileData(ImageData):
    """Base of sets of image files: decoded into memory once if they fit, else for each round.

    resident: hold the decoded images in memory (None: if they take no more than `resident_limit_gib`).
    skip_corrupt: leave out images that cannot be read, instead of refusing to start.
    num_workers: processes that decode, if the images are not resident.
    """

    def __init__(
        self,
        resident: bool | None = None,
        resident_limit_gib: float = 2.0,
        skip_corrupt: bool = False,
        num_workers: int = 4,
        **images: Unpack[ImageOptions],
    ) -> None:
        super().__init__(**images)
        self.resident, self.resident_limit_gib = resident, resident_limit_gib
        self.skip_corrupt, self.num_workers = skip_corrupt, num_workers

    def load_files(
        self, root: Path, names: Sequence[str], labels: Tensor | None, heldout: Tensor, crop: int | None = None
    ) -> tuple[ImageSet, ImageSet | None]:
        """Return the sets of training and held-out images `names` below `root`; `heldout` is a mask (N,)."""
        decoder = image_files.Decoder(self.resolution, self.channels, crop)
        paths = [root / name for name in names]
        resident = self.is_resident(len(names) * math.prod(decoder.shape))
        images, good = image_files.decode_all(paths, decoder) if resident else (None, image_files.readable(paths))
        image_files.refuse_corrupt(names, good, self.skip_corrupt)

        def part(mask: Tensor) -> ImageSet:
            classes = None if labels is None else labels[mask]
            if images is not None:
                return TensorSet(images if mask.all() else images[mask], classes)
            return FileSet(root, [names[i] for i in mask.nonzero().flatten().tolist()], decoder, classes)

        return part(good & ~heldout), part(good & heldout) if (good & heldout).any() else None


class ImageFolder(ImageFileData):
    """The images below `root`, at any depth: the central square, resized to `resolution`.

    labels: the class of an image is its first-level folder; classes are numbered in sorted order.
    heldout: the share of images to hold out, evenly spaced over the sorted names.
    """

    def __init__(
        self,
        root: ExistingPath,
        resolution: int,
        channels: Literal[1, 3] = 3,
        labels: bool = False,
        heldout: float = 0.0,
        **files: Unpack[ImageFileOptions],
    ) -> None:
        super().__init__(**files)
        self.root = Path(root).expanduser()
        self.name = self.root.absolute().name
        self.resolution, self.channels = resolution, channels
        self.labels, self.heldout_fraction = labels, heldout

    @cached_property
    def names(self) -> list[str]:
        """The images' paths below `root`, sorted."""
        return image_files.find_images(self.root)

    @cached_property
    def classes(self) -> list[str]:
        """The first-level folders that contain images; none without `labels`."""
        if not self.labels:
            return []
        if loose := [name for name in self.names if "/" not in name]:
            raise UserError(
                f"{len(loose)} images are directly in {self.root.absolute()} and have no class ({loose[0]}): "
                "move them into the folder of a class, or set data.labels=false"
            )
        return sorted({name.split("/")[0] for name in self.names})

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        return len(self.classes)

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        labels = None
        if self.labels:
            number = {name: i for i, name in enumerate(self.classes)}
            labels = torch.tensor([number[name.split("/")[0]] for name in self.names])
        return self.load_files(self.root, self.names, labels, held_out(len(self.names), self.heldout_fraction))


def read_folder(root: Path, skip_corrupt: bool = False, resident_limit_gib: float = 2.0) -> tuple[ImageSet, int]:
    """Return the images below `root`, sorted by name, unchanged; and how many were skipped as unreadable.

    They are decoded into memory once if they take no more than `resident_limit_gib`. Raises a UserError unless they
    have one size and are all grey (8 bits, or 1) or all in colour (RGB, or a palette).
    """
    names = image_files.find_images(root, remedy="give a folder of images")
    paths = [root / name for name in names]
    decoder = image_files.AsItIs(image_files.common_shape(paths) or (1, 1, 1))
    resident = len(names) * math.prod(decoder.shape) <= resident_limit_gib * 2**30
    images, good = image_files.decode_all(paths, decoder) if resident else (None, image_files.readable(paths, decoder))
    image_files.refuse_corrupt(names, good, skip_corrupt, way="leave them out by --skip-corrupt")
    kept = good.nonzero().flatten().tolist()
    skipped = len(names) - len(kept)
    if images is not None:
        return TensorSet(images[good] if skipped else images), skipped
    return FileSet(root, [names[i] for i in kept], decoder), skipped
