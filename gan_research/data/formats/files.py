"""Folders of image files: StyleGAN's with dataset.json, folders of classes, and ImageNet."""

from collections import Counter
from functools import cached_property
from pathlib import Path

from gan_research.data.formats.base import Indexed, Label
from gan_research.data.image_files import find_images
from gan_research.data.labels import LABEL_FILE, labels_by_name
from gan_research.utils.errors import UserError, one_line

SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""The name of a split -> the folders in which it may be."""

DEVKIT = "ILSVRC2012_devkit_t12.tar.gz"


class Files(Indexed):
    """The image files `names` below `path`, in this order."""

    def __init__(self, path: Path, names: list[str], left_out: Counter[str] | None = None) -> None:
        super().__init__(path, [path / name for name in names])
        self.paths = names
        self.left_out = left_out or Counter()

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return self.paths[index]

    def stored(self, index: int) -> Path:
        return self.files[index]

    def file(self, index: int) -> Path:
        return self.files[index]


class Folder(Files):
    """The images below a folder, sorted by path, with the labels in its dataset.json."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, *find_images(path, remedy="give a folder or file of images"))
        if (path / LABEL_FILE).is_file():
            self.left_out -= Counter([Path(LABEL_FILE).suffix])

    @cached_property
    def labels(self) -> dict[str, Label]:
        file = self.path / LABEL_FILE
        return labels_by_name(file.read_bytes(), file) if file.is_file() else {}

    def label(self, index: int) -> Label:
        return self.labels.get(self.paths[index])


class ClassFolders(Files):
    """The images below a folder; the label of an image is its first-level folder."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, *find_images(path, remedy="give a folder of images"))
        if loose := [name for name in self.paths if "/" not in name]:
            raise UserError(
                f"{len(loose)} images are directly in {path.absolute()} and have no class ({loose[0]}): move them into "
                f"the folder of a class, write the labels to {LABEL_FILE}, or set data.labels=false"
            )

    def label(self, index: int) -> str:
        return self.paths[index].partition("/")[0]


def split_folder(path: Path, split: str) -> Path | None:
    """Return the folder of a split of a set with one folder a split; None if `path` isn't such a set."""
    if not any((path / name).is_dir() for name in SPLITS["train"]):
        return None
    if not any((path / name).is_dir() for names in list(SPLITS.values())[1:] for name in names):
        return None
    found = next((path / name for name in SPLITS.get(split, (split,)) if (path / name).is_dir()), None)
    if found is None:
        there = ", ".join(sorted(inner.name for inner in path.iterdir() if inner.is_dir()))
        raise UserError(f"{path} has no split {split}: give one of its folders ({there})")
    return found


def imagenet(path: Path, split: str) -> Files:
    """Return a split of ImageNet; torchvision unpacks and sorts its archives if need be."""
    from torchvision.datasets import ImageNet

    try:
        images = ImageNet(str(path), split=split)
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"{path} can't be read as ImageNet ({one_line(error)}): add what is missing") from None
    return ClassFolders(Path(images.split_folder))
