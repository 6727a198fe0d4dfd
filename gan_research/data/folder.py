"""Sets of stored images: any folder of images, and the base that it shares with CelebA and the formats."""

import math
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from torch import Tensor

from gan_research.data import image_files
from gan_research.data.base import ImageData, ImageOptions
from gan_research.data.cache import LARGE, cached
from gan_research.data.formats.base import Indexed
from gan_research.data.formats.files import Files
from gan_research.data.image_files import AsItIs, ImageDecoder
from gan_research.data.labels import LABEL_FILE, TABLES, checked_labels, labels_by_name, labels_of, number_classes
from gan_research.data.sets import FileSet, ImageSet, MappedSet, StoredSet, TensorSet, held_out
from gan_research.utils.errors import UserError, require
from gan_research.utils.memory import require_memory
from gan_research.utils.paths import ExistingPath


class ImageFileOptions(ImageOptions, total=False):
    """The arguments that every set of image files takes, with the defaults of `ImageFileData`."""

    resident: bool | None
    resident_limit_gib: float
    cache: bool | None
    skip_corrupt: bool
    num_workers: int


class ImageFileData(ImageData):
    """Base of sets of stored images: decoded into memory or the cache once, or else for each round.

    resident: hold the decoded images in memory (None: if they take no more than `resident_limit_gib`).
    cache: keep the decoded images on disk, and map them into memory (None: if they take 64 MiB or more).
    skip_corrupt: leave out images that cannot be read, instead of refusing to start; all are decoded to find them.
    num_workers: processes that decode, if the images are neither resident nor cached.
    """

    def __init__(
        self,
        resident: bool | None = None,
        resident_limit_gib: float = 2.0,
        cache: bool | None = None,
        skip_corrupt: bool = False,
        num_workers: int = 4,
        **images: Unpack[ImageOptions],
    ) -> None:
        super().__init__(**images)
        require(0, **{"data.num_workers": num_workers, "data.resident_limit_gib": resident_limit_gib})
        self.resident, self.resident_limit_gib, self.cache = resident, resident_limit_gib, cache
        self.skip_corrupt, self.num_workers = skip_corrupt, num_workers

    def load_stored(
        self, source: Indexed, decoder: ImageDecoder, labels: Tensor | None, heldout: Tensor
    ) -> tuple[ImageSet, ImageSet | None]:
        """Return the sets of training and held-out images of a source.

        labels: the class of each image, int64 (N,), or None. heldout: a mask (N,).
        """
        size = len(source) * math.prod(decoder.shape)
        resident = self.is_resident(size)
        images: Tensor | None
        if self.cache or (self.cache is None and size >= LARGE and source.encoded):
            images, facts = cached(source, decoder, self.skip_corrupt)
        elif resident or self.skip_corrupt:
            if resident:
                require_memory("data.resident=true", len(source), *decoder.shape)
            images, facts = source.decode_all(decoder, keep=resident)
        else:
            images, facts = None, image_files.attempt(source.facts, range(len(source)))
        good = image_files.refuse(source.path, source.names, facts, self.skip_corrupt)
        if isinstance(decoder, AsItIs):
            image_files.refuse_other_shapes(source.path, source.names, facts, "set data.resolution, or give")
        files = image_files.describe_files(facts, source.left_out)

        def part(mask: Tensor) -> ImageSet:
            rows = mask.nonzero().flatten()
            classes = None if labels is None else labels[mask]
            if images is None:
                return self.streamed(source, decoder, rows, classes, files)
            if not resident:
                return MappedSet(images, rows, classes, files)
            return TensorSet(images if mask.all() else images[mask], classes, files=files)

        return part(good & ~heldout), part(good & heldout) if (good & heldout).any() else None

    def streamed(self, source: Indexed, decoder: ImageDecoder, *part: Any) -> ImageSet:
        """Return images that are decoded on each access."""
        return StoredSet(source, decoder, *part)


class FolderData(ImageFileData):
    """Base of folders of image files; if they are streamed, the content hash is of the files."""

    def streamed(self, source: Indexed, decoder: ImageDecoder, *part: Any) -> ImageSet:
        rows, classes, files = part
        return FileSet(source.path, list(map(source.name, rows.tolist())), decoder, classes, files)


class ImageFolder(FolderData):
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
            known = labels_by_name(file.read_bytes(), file)
            labels = labels_of([known.get(name) for name in self.names], self.names, file)
            return number_classes(checked_labels(labels, len(self.names), str(file)))
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
        decoder = image_files.Decoder(self.resolution, self.channels)
        return self.load_stored(Files(self.root, names, left_out), decoder, labels, heldout)


def read_folder(root: Path, skip_corrupt: bool = False, resident_limit_gib: float = 2.0) -> tuple[ImageSet, int]:
    """Return the images below `root`, sorted by name, as `ImageFolder` reads them; and how many can't be read.

    They are neither cropped nor resized, and decoded into memory once if they take no more than `resident_limit_gib`.
    Raises a UserError unless they have one size and are all grey or all in colour.
    """
    source = Files(root, *image_files.find_images(root, remedy="give a folder of images"))
    decoder = AsItIs(source.first_shape())
    resident = len(source) * math.prod(decoder.shape) <= resident_limit_gib * 2**30
    images, facts = source.decode_all(decoder, keep=resident)
    good = image_files.refuse(root, source.names, facts, skip_corrupt, way="leave them out by --skip-corrupt")
    image_files.refuse_other_shapes(root, source.names, facts)
    kept, files = good.nonzero().flatten().tolist(), image_files.describe_files(facts, source.left_out)
    skipped = len(source) - len(kept)
    if images is not None:
        return TensorSet(images[good] if skipped else images, files=files), skipped
    return FileSet(root, list(map(source.name, kept)), decoder, files=files), skipped
