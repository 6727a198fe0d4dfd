"""`open_images`: the stored images at a path, in the format that the file or folder has."""

from pathlib import Path

from gan_research.data.formats.arrays import NPZ, DownsampledImageNet, is_downsampled
from gan_research.data.formats.base import Indexed
from gan_research.data.formats.files import DEVKIT, SPLITS, ClassFolders, Folder, imagenet, split_folder
from gan_research.data.formats.hdf5 import HDF5
from gan_research.data.formats.hugging_face import SAVED, HuggingFace
from gan_research.data.formats.lmdb import DATA, LMDB
from gan_research.data.formats.stylegan_zip import StyleGANZip
from gan_research.data.formats.tars import WebDataset
from gan_research.utils.errors import UserError
from gan_research.utils.paths import ARCHIVES, DATA_SETS, HUB, is_on_hub

ACCEPTED = (
    "a folder of images, StyleGAN's .zip, HDF5 (.h5, .hdf5), LMDB, WebDataset (.tar, or a folder of them), .npz, "
    f"ImageNet, a data set saved by Hugging Face, or {HUB}USER/NAME"
)


def is_data_set(path: Path) -> bool:
    """Return whether a path has images in a format other than image files and .npz."""
    if path.is_file():
        return path.suffix.lower() in DATA_SETS
    return any(path.glob("*.tar")) or any((path / name).exists() for name in (*SAVED, DATA, DEVKIT, "meta.bin"))


def open_images(place: str | Path, split: str = "train", classes: bool = False) -> Indexed:
    """Open stored images in the format that the file or folder has.

    split: the part of sets that have several, such as train and val. classes: the first-level folders of a folder of
    images are its labels.
    """
    if is_on_hub(place):
        return HuggingFace(str(place), split)
    path = Path(place).expanduser()
    if path.is_dir():
        return _open_folder(path, split, classes)
    if not path.is_file():
        raise UserError(f"no file or folder {path.absolute()}: give {ACCEPTED}")
    ending = path.suffix.lower()
    if ending in (".h5", ".hdf5"):
        return HDF5(path)
    if ending == ".npz":
        return DownsampledImageNet(path, [path]) if is_downsampled(path) else NPZ(path)
    if ending == ".zip":
        return StyleGANZip(path)
    if ending == ".tgz" or ".tar" in [suffix.lower() for suffix in path.suffixes]:
        return WebDataset(path, [path])
    if ending == ".tfrecords":
        raise UserError(f"{path} is a TFRecord of StyleGAN 1 or 2: convert it to a ZIP with NVIDIA's dataset_tool.py")
    what = "an archive" if ending in ARCHIVES else "of no known format"
    raise UserError(f"{path} is {what}: give {ACCEPTED}")


def _open_folder(path: Path, split: str, classes: bool) -> Indexed:
    if any((path / name).is_file() for name in SAVED):
        return HuggingFace(path, split)
    if (path / DATA).is_file():
        return LMDB(path)
    if (path / DEVKIT).is_file() or (path / "meta.bin").is_file():
        return imagenet(path, split)
    if (folder := split_folder(path, split)) is not None:
        nested = any(inner.is_dir() for inner in folder.iterdir())
        return Folder(folder) if (folder / "dataset.json").is_file() or not nested else ClassFolders(folder)
    files = sorted(inner for inner in path.iterdir() if inner.is_file() and not inner.name.startswith("."))
    if tars := [file for file in files if file.suffix.lower() == ".tar"]:
        return WebDataset(path, _of_split(tars, split))
    if parts := [file for file in files if file.suffix.lower() == ".npz"]:
        parts.sort(key=lambda part: (len(part.name), part.name))  # batch_10 after batch_9
        if wrong := [part for part in parts if not is_downsampled(part)]:
            raise UserError(f"{wrong[0]} is no part of downsampled ImageNet (data, labels): give one .npz file")
        return DownsampledImageNet(path, _of_split(parts, split))
    folder_set = Folder(path)
    return ClassFolders(path) if classes and not folder_set.labels else folder_set


def _of_split(files: list[Path], split: str) -> list[Path]:
    """Return the files whose names begin with the split; for "train", those of no other split."""
    others = tuple(name for names in SPLITS.values() for name in names if name != "train")
    if split == "train":
        found = [file for file in files if not file.name.startswith(others)] or files
    else:
        found = [file for file in files if file.name.startswith(SPLITS.get(split, (split,)))]
    if not found:
        raise UserError(f"{files[0].parent} has no files whose names begin with the split {split}, as {files[0].name}")
    return found
