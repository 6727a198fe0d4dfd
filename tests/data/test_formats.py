"""Formats of images: equal tensors, labels, order and hash from each, in any process; and files that are refused."""

import functools
import gzip
import io
import os
import sys

import numpy as np
import pytest
import torch
import written
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from written import FORMATS, IMAGES, LABELS, png

from gan_research.data import Images, MappedSet, StoredSet, TensorSet
from gan_research.data.formats.detect import open_images
from gan_research.utils.errors import UserError

KINDS = {"resident": TensorSet, "cached": MappedSet, "streamed": StoredSet}
HOW = {
    "resident": {"cache": False},
    "cached": {"resident": False, "cache": True},
    "streamed": {"resident": False, "cache": False},
}


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_RESEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


def images(path, **options):
    return Images(str(path), **{"batch_size": 2, "num_workers": 0, **options})


def refused(path, **options):
    """The one line with which images are refused."""
    with pytest.raises(UserError) as caught:
        images(path, **options).setup()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_gives_the_same_images(name, folder):
    path, labels = FORMATS[name](folder), None if name == "lmdb_folder" else torch.tensor(LABELS)
    expected = TensorSet(torch.from_numpy(IMAGES), labels)
    for how, options in HOW.items():
        data = images(path, **options)
        train = data.train
        assert type(train) is KINDS[how]
        assert data.sample_spec.shape == (3, 8, 8)
        assert (data.num_classes, train.sample_shape) == (0 if labels is None else 3, (3, 8, 8))
        assert torch.equal(train.take(99), expected.images)
        chosen, classes = train.gather([11, 0, 5])
        assert torch.equal(chosen, expected.images[[11, 0, 5]])
        if labels is not None:
            assert torch.equal(train.labels, labels)
            assert torch.equal(classes, labels[[11, 0, 5]])
        assert train.content_hash() == expected.content_hash()
        assert train.subset(torch.arange(3)).content_hash() == expected.subset(torch.arange(3)).content_hash()


def test_the_rounds_of_each_way_are_equal_and_resume_in_the_middle(folder):
    path = written.stylegan_zip(folder)
    rounds = {how: images(path, seed=3, **options) for how, options in HOW.items()}
    expected = next(iter(rounds["resident"].rounds(minibatches=2, start=5)))  # rounds 3 to 5 cross a pass
    for how, data in rounds.items():
        going = iter(data.rounds(minibatches=2))
        batches = [next(going) for _ in range(6)]
        for batch in (batches[5], next(iter(data.rounds(minibatches=2, start=5)))):
            assert torch.equal(batch.images, expected.images), how
            assert torch.equal(batch.labels, expected.labels)


class Everything(Dataset):
    """The images of several sources, one after the other, with the number of the process that read each."""

    def __init__(self, sources):
        self.sources = sources

    def __len__(self):
        return 12 * len(self.sources)

    def __getitem__(self, index):
        source = self.sources[index // 12]
        return source.read(index % 12), source.label(index % 12) or 0, os.getpid()


@pytest.mark.parametrize(("workers", "context"), [(0, None), (2, "fork"), (2, "spawn")])
def test_each_format_is_read_in_any_process(workers, context, folder):
    sources = []
    for name, write in FORMATS.items():
        (folder / name).mkdir()
        sources.append(open_images(write(folder / name)))
        _ = sources[-1].read(3), sources[-1].label(3)  # handles are open before the fork
    loader = DataLoader(Everything(sources), 6, num_workers=workers, multiprocessing_context=context)
    read = list(loader)
    pixels = torch.cat([part[0] for part in read])
    assert torch.equal(pixels, torch.from_numpy(IMAGES).repeat(len(FORMATS), 1, 1, 1))
    processes = {int(process) for part in read for process in part[2]}
    assert len(processes) == max(workers, 1)
    assert (os.getpid() in processes) is (workers == 0)


def test_splits(folder):
    for name in ("hugging_face", "imagenet_folders", "downsampled_imagenet"):
        (folder / name).mkdir()
        path, other = FORMATS[name](folder / name), {"hugging_face": "test"}.get(name, "val")
        data = images(path, heldout_split=other)
        assert (len(data.train), len(data.heldout), data.num_classes) == (12, 3, 3)
        assert torch.equal(data.heldout.take(3), torch.from_numpy(IMAGES[:3]))
        assert data.heldout.labels.tolist() == [0, 0, 0]
        assert "no split" in refused(path, split="other") or name == "downsampled_imagenet"
    data = images(written.stylegan_zip(folder), heldout_path=str(folder / "imagenet_folders" / "valid"), labels=False)
    assert (len(data.train), len(data.heldout), data.heldout.labels) == (12, 3, None)
    assert len(images(folder / "set.zip", heldout=0.25).heldout) == 3
    assert "exclude each other" in refused(folder / "set.zip", heldout=0.25, heldout_split="val")


# --- images and labels of other kinds ------------------------------------------------------------------------------


def encoded(image, kind="png", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_sixteen_bits_transparency_and_palettes_are_read_by_the_one_rule(folder):
    grey = IMAGES[0, 0]
    alpha = Image.fromarray(np.dstack([np.zeros((8, 8, 3), np.uint8), np.full((8, 8), 0, np.uint8)]))
    palette = Image.new("RGB", (8, 8), (5, 6, 7)).quantize(2)
    stored = [
        png(IMAGES[0]),
        encoded(Image.fromarray(grey.astype(np.uint16) * 256 + 9)),
        encoded(alpha),
        encoded(palette),
    ]
    colours = np.stack([IMAGES[0], grey[None].repeat(3, 0), np.full((3, 8, 8), 255)])
    for path in (
        written.stylegan_zip(folder, stored, None),
        written.lmdb_folder(folder, stored),
    ):
        data = images(path, resolution=8, channels=3)
        np.testing.assert_array_equal(data.train.take(3).numpy(), colours)
        assert data.train.take(4)[3].unique().tolist() == [5, 6, 7]
        assert "1 of 16 bits a sample" in data.summary()
        assert "1 with transparency, composited on white" in data.summary()
        assert (data.num_classes, data.train.labels) == (0, None)
        assert "images of one size, all grey or all in colour" in refused(path)  # as they are stored


@pytest.mark.parametrize("name", ["stylegan_zip", "lmdb_folder", "web_dataset", "stylegan_folder"])
@pytest.mark.parametrize("how", HOW)
def test_a_corrupt_last_image_is_named_or_left_out(name, how, folder):
    stored = [*map(png, IMAGES[:11]), b"\x89PNG no image"]
    if name == "stylegan_folder":
        path = written.stylegan_folder(folder)
        (path / written.names(12)[11]).write_bytes(stored[11])
    else:
        path = getattr(written, name)(folder, stored)
    message = refused(path, **HOW[how])
    assert message.startswith("1 of 12 images cannot be read: ")
    assert "(cannot identify image file): remove them or set data.skip_corrupt=true" in message
    assert "0x" not in message  # of the object that PIL was given
    data = images(path, skip_corrupt=True, **HOW[how])
    assert torch.equal(data.train.take(99), torch.from_numpy(IMAGES[:11]))
    assert "1 unreadable" in data.summary()


@pytest.mark.parametrize(
    ("labels", "given", "classes"),
    [
        (None, None, []),
        (np.eye(12)[LABELS].tolist(), None, [0, 1, 2]),
        ([f"class {label}" for label in LABELS], None, ["class 0", "class 1", "class 2"]),
        (LABELS, False, []),
        ([[0.5, label] for label in LABELS], None, []),
    ],
    ids=["none", "one-hot", "words", "not wanted", "attributes"],
)
def test_labels_of_stylegan(labels, given, classes, folder):
    data = images(written.stylegan_zip(folder, labels=labels), labels=given)
    assert data.classes == classes
    assert (data.train.labels is None) == (not classes)
    assert data.source.label(4) == (None if labels is None else labels[4])  # vectors are kept in the protocol


def test_labels_that_are_wanted_and_absent(folder):
    assert "12 of 12 images have no label" in refused(written.stylegan_zip(folder, labels=None), labels=True)
    vectors = [[0.5, label] for label in LABELS]
    assert "are list: give each image an integer" in refused(written.stylegan_zip(folder, labels=vectors), labels=True)
    assert images(written.stylegan_folder(folder / "f", labels=None), labels=True).classes == [
        "00000",
        "00001",
        "00002",
    ]


# --- files that are refused, or change ---------------------------------------------------------------------------


def no_data(folder, name):
    """A file of the kind `name` that is no set of images."""
    path = folder / name
    path.write_bytes(b"PK no archive" if name.endswith("zip") else b"no content" * 100)
    return path


@pytest.mark.parametrize(
    ("write", "part"),
    [
        (lambda f: no_data(f, "set.zip"), "can't be read as a ZIP"),
        (lambda f: written.stylegan_zip(f, [], []), "has no images"),
        (lambda f: no_data(f, "set.h5"), "can't be read as HDF5"),
        (lambda f: written.hdf5(f, np.zeros((5, 3, 4, 3), np.uint8), None), "both the second and the last"),
        (lambda f: written.hdf5(f, np.zeros((5, 4, 4, 5), np.uint8), None), "neither the second nor the last"),
        (lambda f: written.hdf5(f, np.zeros((5, 3, 4, 4), np.float32), None), "is float32"),
        (lambda f: written.hdf5(f, labels=[0, 1]), "labels (2,) for 12 images"),
        (lambda f: written.hdf5(f, key="pixels"), "it has labels, pixels"),
        (lambda f: written.web_dataset(f, mode="w:gz"), "is compressed"),
        (lambda f: no_data(f, "set.tar"), "is no tar"),
        (lambda f: no_data(f, "set.tfrecords"), "dataset_tool.py"),
        (lambda f: no_data(f, "set.rar"), "is an archive: give a folder of images"),
        (lambda f: no_data(f, "set.npz"), "cannot be read as an .npz file"),
        (lambda f: f / "nowhere", "no file or folder"),
        (lambda f: f, "no images in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_no_images(write, part, folder, monkeypatch):
    path = write(folder)
    if part == "no file or folder":
        with pytest.raises(UserError, match=part):
            open_images(path)
    else:
        message = refused(path)
        assert part in message
        assert str(folder) in message


def test_a_compressed_tar_of_any_ending(folder):
    (folder / "set.tar.gz").write_bytes(gzip.compress(b"tar"))
    assert "is compressed" in refused(folder / "set.tar.gz")


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("hdf5", "h5py", "hdf5"), ("lmdb_folder", "lmdb", "lmdb"), ("hugging_face", "datasets", "huggingface")],
)
def test_a_reader_that_is_not_installed_is_named(name, module, extra, folder, monkeypatch):
    path = FORMATS[name](folder)
    monkeypatch.setitem(sys.modules, module, None)
    assert f"pip install 'gan_research[{extra}]'" in refused(path)


@pytest.mark.parametrize("name", ["stylegan_folder", "stylegan_zip", "hdf5", "web_dataset"])
def test_a_file_that_changes_under_a_run_is_noticed(name, folder):
    path = FORMATS[name](folder)
    data = images(path, **HOW["streamed"])
    rounds = iter(data.rounds())
    next(rounds)
    for file in data.source.files:
        os.utime(file, ns=(1, 1))
    with pytest.raises(UserError, match="was changed while it was in use"):
        next(rounds)


def test_an_index_of_a_tar_is_made_once_and_again_if_the_tar_changes(folder, cache_folder, monkeypatch):
    path = written.web_dataset(folder)
    first = open_images(path)
    kept = list((cache_folder / "tars").iterdir())
    assert len(kept) == 2
    monkeypatch.setattr("tarfile.open", functools.partial(pytest.fail, "scanned again"))
    assert open_images(path).members == first.members
    monkeypatch.undo()
    monkeypatch.setenv("GAN_RESEARCH_CACHE", str(cache_folder))
    written.web_dataset(folder, IMAGES[::-1])
    for tar in path.iterdir():
        os.utime(tar, ns=(1, 1))
    np.testing.assert_array_equal(open_images(path).read(0), IMAGES[11])
