"""The same images written in each format."""

import io
import json
import tarfile
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import torch
from PIL import Image

IMAGES = np.random.default_rng(5).integers(0, 256, (12, 3, 8, 8), np.uint8)
LABELS = [i // 4 for i in range(12)]


def png(image):
    file = io.BytesIO()
    Image.fromarray(image if image.ndim == 2 else image.transpose(1, 2, 0)).save(file, "png")
    return file.getvalue()


def names(count):
    return [f"{i // 5:05}/img{i:08}.png" for i in range(count)]


def stylegan_folder(folder, images=IMAGES, labels=LABELS):
    for name, image in zip(names(len(images)), images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(image))
    if labels is not None:
        entries = list(zip(names(len(images)), labels, strict=True))
        (folder / "dataset.json").write_text(json.dumps({"labels": entries}))
    return folder


def stylegan_zip(folder, images=IMAGES, labels=LABELS):
    with ZipFile(folder / "set.zip", "w", ZIP_STORED) as archive:
        for name, image in reversed(list(zip(names(len(images)), images, strict=True))):
            archive.writestr(name, image if isinstance(image, bytes) else png(image))
        entries = None if labels is None else list(zip(names(len(images)), labels, strict=True))
        archive.writestr("dataset.json", json.dumps({"labels": entries}))
    return folder / "set.zip"


def hdf5(folder, images=IMAGES, labels=LABELS, key="imgs"):
    import h5py

    with h5py.File(folder / "set.hdf5", "w") as file:
        file.create_dataset(key, data=images, chunks=(1, *images.shape[1:]))
        if labels is not None:
            file.create_dataset("labels", data=np.array(labels, np.int64))
    return folder / "set.hdf5"


def hdf5_channels_last(folder):
    return hdf5(folder, IMAGES.transpose(0, 2, 3, 1))


def lmdb_folder(folder, images=IMAGES):
    import lmdb

    with lmdb.open(str(folder / "lmdb"), map_size=2**24) as database, database.begin(write=True) as transaction:
        for number, image in reversed(list(enumerate(images))):
            transaction.put(f"{number:04x}".encode(), image if isinstance(image, bytes) else png(image))
    return folder / "lmdb"


def adm_npz(folder):
    np.savez(folder / "adm.npz", IMAGES.transpose(0, 2, 3, 1), np.array(LABELS))
    return folder / "adm.npz"


def downsampled_imagenet(folder):
    parts = {1: slice(0, 5), 2: slice(5, 9), 10: slice(9, 12)}  # part 10 isn't the second
    for number, part in parts.items():
        save = np.savez_compressed if number == 2 else np.savez
        flat, labels = IMAGES[part].reshape(-1, 3 * 64), np.array(LABELS)[part] + 1
        save(folder / f"train_data_batch_{number}.npz", data=flat, labels=labels, mean=np.zeros(3))
    np.savez(folder / "val_data.npz", data=IMAGES[:3].reshape(3, -1), labels=np.ones(3, int))
    return folder


def web_dataset(folder, images=IMAGES, labels=LABELS, mode="w"):
    for number, part in enumerate((range(7), range(7, len(images)))):
        with tarfile.open(folder / f"set-{number}.tar", mode) as tar:
            for i in part:
                content = images[i] if isinstance(images[i], bytes) else png(images[i])
                label = {".cls": str(labels[i])} if number else {".json": json.dumps({"label": labels[i]})}
                for ending, written in {".png": content, **label, ".txt": b"words"}.items():
                    entry = tarfile.TarInfo(f"./{i:05}{ending}")
                    entry.size = len(written)
                    tar.addfile(entry, io.BytesIO(written.encode() if isinstance(written, str) else written))
    return folder


def hugging_face(folder):
    import datasets

    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["x", "b", "a"]))
    content = {"image": [{"bytes": png(image), "path": None} for image in IMAGES], "label": LABELS}
    split = datasets.Dataset.from_dict(content, features)
    datasets.DatasetDict(train=split, test=split.select(range(3))).save_to_disk(folder / "hf")
    return folder / "hf"


def imagenet_folders(folder):
    for split, chosen in (("train", range(12)), ("valid", range(3))):
        for i in chosen:
            place = folder / split / f"n0{LABELS[i]}" / f"{i:02}.JPEG"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(png(IMAGES[i]))  # as one of ImageNet's is
    return folder


def imagenet_devkit(folder):
    imagenet_folders(folder)
    torch.save(({f"n0{i}": (f"class {i}",) for i in range(3)}, ["n00"] * 3), folder / "meta.bin")
    return folder


FORMATS = {
    write.__name__: write
    for write in (
        stylegan_folder, stylegan_zip, hdf5, hdf5_channels_last, lmdb_folder, adm_npz, downsampled_imagenet,
        web_dataset, hugging_face, imagenet_folders, imagenet_devkit,
    )
}  # fmt: skip
"""The name of a format -> a function that writes `IMAGES` and `LABELS` into a folder, and returns the path."""
