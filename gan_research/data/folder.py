"""Sets of picture files: any folder of pictures, and the base that it shares with CelebA."""

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Unpack

import torch
from torch import Tensor

from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.pictures import (
    AsItIs,
    Decoder,
    check_headers,
    check_pictures,
    common_shape,
    decode_all,
    find_pictures,
    refuse_corrupt,
)
from gan_research.data.sets import FileSet, ImageSet, TensorSet, held_out
from gan_research.utils.errors import UserError


class PictureOptions(ImageOptions, total=False):
    """The arguments that every set of picture files takes, with the defaults of `PictureData`."""

    resident: bool | None
    resident_limit_gib: float
    skip_corrupt: bool
    num_workers: int


class PictureData(ImageData):
    """Base of the sets that are picture files: decoded once into memory where they fit, else whenever they are wanted.

    resident: hold the decoded pictures in memory (None: where they take no more than `resident_limit_gib`).
    skip_corrupt: leave out pictures that cannot be read, instead of refusing to start.
    num_workers: processes that decode, where the pictures are not resident.
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

    def open_pictures(
        self, root: Path, names: Sequence[str], labels: Tensor | None, held: Tensor, crop: int | None = None
    ) -> tuple[ImageSet, ImageSet | None]:
        """The pictures `names` below `root`, those of the mask `held` (N,) apart."""
        decoder = Decoder(self.resolution, self.channels, crop)
        paths = [root / name for name in names]
        resident = self.resident
        if resident is None:
            resident = fits(len(names) * math.prod(self.sample_spec.shape), self.resident_limit_gib)
        images, good = decode_all(paths, decoder) if resident else (None, check_headers(paths))
        refuse_corrupt(names, good, self.skip_corrupt)

        def part(mask: Tensor) -> ImageSet:
            classes = None if labels is None else labels[mask]
            if images is not None:
                return TensorSet(images if mask.all() else images[mask], classes)
            return FileSet(root, [names[i] for i in mask.nonzero().flatten().tolist()], decoder, classes)

        heldout = good & held
        return part(good & ~held), part(heldout) if heldout.any() else None


class ImageFolder(PictureData):
    """The pictures below `root`, at any depth: the central square, resized to `resolution`.

    labels: the class of a picture is the first-level folder that it lies in; classes count in sorted order.
    heldout: the share of pictures that training never sees, evenly spaced over the sorted names.
    """

    def __init__(
        self,
        root: str,
        resolution: int,
        channels: Literal[1, 3] = 3,
        labels: bool = False,
        heldout: float = 0.0,
        **pictures: Unpack[PictureOptions],
    ) -> None:
        super().__init__(**pictures)
        self.root = Path(root).expanduser()
        self.name = self.root.absolute().name
        self.resolution, self.channels = resolution, channels
        self.labels, self.heldout_fraction = labels, heldout

    @cached_property
    def names(self) -> list[str]:
        """The pictures' paths below `root`, sorted."""
        return find_pictures(self.root)

    @cached_property
    def classes(self) -> list[str]:
        """The first-level folders that hold pictures; none without `labels`."""
        if not self.labels:
            return []
        if loose := [name for name in self.names if "/" not in name]:
            raise UserError(
                f"{len(loose)} pictures lie directly in {self.root.absolute()} and have no class ({loose[0]}): "
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
        return self.open_pictures(self.root, self.names, labels, held_out(len(self.names), self.heldout_fraction))


def read_folder(root: Path, skip_corrupt: bool = False, resident_limit_gib: float = 2.0) -> tuple[ImageSet, int]:
    """Every picture below `root` in the order of the names, as it is; and how many were skipped as they can't be read.

    They are decoded once into memory where they take no more than `resident_limit_gib`. Raises a UserError where they
    aren't all of one size and all grey (8 bits, or 1) or all in colour (RGB, or a palette).
    """
    names = find_pictures(root, remedy="give a folder of pictures")
    paths = [root / name for name in names]
    shape = common_shape(paths)
    decoder = AsItIs(shape or (1, 1, 1))
    resident = fits(len(names) * math.prod(decoder.shape), resident_limit_gib)
    images, good = decode_all(paths, decoder) if resident else (None, check_pictures(paths, decoder))
    refuse_corrupt(names, good, skip_corrupt, way="leave them out by --skip-corrupt")
    readable = good.nonzero().flatten().tolist()
    skipped = len(names) - len(readable)
    if images is not None:
        return TensorSet(images[good] if skipped else images), skipped
    return FileSet(root, [names[i] for i in readable], decoder), skipped


def fits(size: int, limit_gib: float) -> bool:
    """Whether `size` bytes are within the limit."""
    return size <= limit_gib * 2**30
