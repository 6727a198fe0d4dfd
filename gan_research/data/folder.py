"""Sets of image files: any folder of images, and the base that it shares with CelebA."""

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from torch import Tensor

from gan_research.data import image_files
from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.labels import LABEL_FILE, TABLES, checked_labels, number_classes, read_label_file
from gan_research.data.sets import FileSet, ImageSet, TensorSet, held_out
from gan_research.utils.errors import UserError, require
from gan_research.utils.memory import require_memory
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
    skip_corrupt: leave out images that cannot be read, instead of refusing to start; all are decoded to find them.
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
        require(0, **{"data.num_workers": num_workers, "data.resident_limit_gib": resident_limit_gib})
        self.resident, self.resident_limit_gib = resident, resident_limit_gib
        self.skip_corrupt, self.num_workers = skip_corrupt, num_workers

    def load_files(
        self,
        root: Path,
        names: Sequence[str],
        labels: Tensor | None,
        heldout: Tensor,
        crop: int | None = None,
        left_out: Counter[str] | None = None,
    ) -> tuple[ImageSet, ImageSet | None]:
        """Return the sets of training and held-out images `names` below `root`.

        heldout: a mask (N,). left_out: other files below `root`, counted by kind.
        """
        decoder = image_files.Decoder(self.resolution, self.channels, crop)
        paths = [root / name for name in names]
        resident = self.is_resident(len(names) * math.prod(decoder.shape))
        if resident:
            require_memory("data.resident=true", len(names), *decoder.shape)
        if resident or self.skip_corrupt:
            images, facts = image_files.decode_all(paths, decoder, keep=resident)
        else:
            images, facts = None, image_files.attempt(image_files.read_facts, paths)
        good = image_files.refuse(root, names, facts, self.skip_corrupt)
        files = image_files.describe_files(facts, left_out or Counter())

        def part(mask: Tensor) -> ImageSet:
            classes = None if labels is None else labels[mask]
            if images is not None:
                return TensorSet(images if mask.all() else images[mask], classes, files=files)
            return FileSet(root, [names[i] for i in mask.nonzero().flatten().tolist()], decoder, classes, files)

        return part(good & ~heldout), part(good & heldout) if (good & heldout).any() else None


class ImageFolder(ImageFileData):
    """The images below `root`, at any depth: the central square, resized to `resolution`.

    labels: the class of an image is its label in dataset.json, if `root` has this file of StyleGAN, else its
        first-level folder. Classes are numbered in sorted order of labels.
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
    def _found(self) -> tuple[list[str], Counter[str]]:
        return image_files.find_images(self.root)

    @property
    def names(self) -> list[str]:
        """The images' paths below `root`, sorted."""
        return self._found[0]

    @cached_property
    def _numbered(self) -> tuple[Tensor, list[Any]]:
        """The class of each image, and the label of each class."""
        file = self.root / LABEL_FILE
        if file.is_file():
            return number_classes(checked_labels(read_label_file(file, self.names), len(self.names), str(file)))
        if loose := [name for name in self.names if "/" not in name]:
            raise UserError(
                f"{len(loose)} images are directly in {self.root.absolute()} and have no class ({loose[0]}): "
                f"move them into the folder of a class, write the labels to {LABEL_FILE}, or set data.labels=false"
            )
        if tables := sorted(path.name for path in self.root.iterdir() if path.suffix.lower() in TABLES):
            raise UserError(
                f"data.labels=true takes the folders in {self.root.absolute()} as classes, and doesn't read "
                f"{tables[0]}: if it has the labels, write them to {LABEL_FILE}; then move it out of the folder"
            )
        return number_classes(np.array([name.split("/")[0] for name in self.names]))

    @property
    def classes(self) -> list[Any]:  # type: ignore[override]
        """The label of each class: a first-level folder with images, or a value; none without `labels`."""
        return self._numbered[1] if self.labels else []

    @property
    def num_classes(self) -> int:  # type: ignore[override]
        return len(self.classes)

    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        names, left_out = self._found
        heldout = held_out(len(names), self.heldout_fraction)
        labels = None
        if self.labels:
            labels, read = self._numbered[0], self.root / LABEL_FILE
            left_out = left_out - Counter([read.suffix] if read.is_file() else [])
        return self.load_files(self.root, names, labels, heldout, left_out=left_out)


def read_folder(root: Path, skip_corrupt: bool = False, resident_limit_gib: float = 2.0) -> tuple[ImageSet, int]:
    """Return the images below `root`, sorted by name, as `ImageFolder` reads them; and how many can't be read.

    They are neither cropped nor resized, and decoded into memory once if they take no more than `resident_limit_gib`.
    Raises a UserError unless they have one size and are all grey or all in colour.
    """
    names, left_out = image_files.find_images(root, remedy="give a folder of images")
    paths = [root / name for name in names]
    decoder = image_files.AsItIs(image_files.first_shape(paths))
    resident = len(names) * math.prod(decoder.shape) <= resident_limit_gib * 2**30
    images, facts = image_files.decode_all(paths, decoder, keep=resident)
    good = image_files.refuse(root, names, facts, skip_corrupt, way="leave them out by --skip-corrupt")
    image_files.refuse_other_shapes(paths, facts)
    kept, files = good.nonzero().flatten().tolist(), image_files.describe_files(facts, left_out)
    skipped = len(names) - len(kept)
    if images is not None:
        return TensorSet(images[good] if skipped else images, files=files), skipped
    return FileSet(root, [names[i] for i in kept], decoder, files=files), skipped
