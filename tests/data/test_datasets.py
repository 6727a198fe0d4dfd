"""Each set of images: what it holds, what it holds out, and what it says when it cannot be read."""

import inspect
import math
import pickle
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import get_object, instantiate
from PIL import Image
from torch.nn import functional as F
from torchvision.datasets import celeba, cifar, mnist

from gan_research import data as sets
from gan_research.checkpoints.rebuild import describe
from gan_research.config.schema import arguments_of
from gan_research.data import (
    CIFAR10,
    CIFAR100,
    MNIST,
    STL10,
    Arrays,
    CelebA,
    Digits,
    FashionMNIST,
    FileSet,
    ImageFolder,
    StackedMNIST,
    TensorSet,
)
from gan_research.data.sets import held_out, resize
from gan_research.utils.errors import UserError

PROJECT = Path(__file__).parents[2]

NO_IMAGE = "cannot identify image file"  # PIL's words


@pytest.fixture
def real():
    """The folder with the real data."""

    def find(part):
        if not (PROJECT / "data" / part).exists():
            pytest.skip(f"data/{part} is not unpacked")
        return PROJECT / "data"

    return find


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def refused(data):
    """The one line with which `data` refuses to be set up."""
    with pytest.raises(UserError) as caught:
        data.setup()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- sets in general ---------------------------------------------------------------------------------------------


def test_digits_hold_out_every_ninth():
    from sklearn.datasets import load_digits

    data = Digits()
    assert data.sample_spec.shape == (1, 8, 8)
    assert (len(data.train), len(data.heldout)) == (1597, 200)
    levels = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    assert np.array_equal(data.heldout.images[:, 0].numpy(), levels[::9])
    assert data.train.images.unique().numel() == 17
    assert data.train.images.max() == 255
    assert data.train.labels.unique().tolist() == list(range(10))
    assert data.describe() == {
        "name": "digits",
        "shape": [1, 8, 8],
        "train": 1597,
        "heldout": 200,
        "num_classes": 10,
        "value_range": [-1.0, 1.0],
        "flip": False,
        "dequantise": False,
    }


def test_setup_twice_loads_once():
    data = Digits()
    data.prepare_data()
    train = data.train
    data.setup("fit")
    data.setup("fit")
    assert data.train is train


def test_batches_read_every_image_once_in_order():
    train = Digits().train
    batches = list(train.batches(500))
    assert [len(images) for images, _ in batches] == [500, 500, 500, 97]
    assert torch.equal(torch.cat([images for images, _ in batches]), train.images)
    assert torch.equal(torch.cat([labels for _, labels in batches]), train.labels)
    assert torch.equal(train.take(7), train.images[:7])
    assert train.take(5000).shape == (1597, 1, 8, 8)


def test_the_hash_is_of_the_content():
    images, labels = torch.from_numpy(noise(5, 3, 4, 4)), torch.arange(5)
    first = TensorSet(images, labels).content_hash()
    assert first == TensorSet(images.clone(), labels.clone(), on_device=False).content_hash()
    changed = images.clone()
    changed[4, 2, 3, 3] += 1
    others = [TensorSet(changed, labels), TensorSet(images, labels.flip(0)), TensorSet(images)]
    others += [TensorSet(images.view(5, 3, 2, 8), labels), TensorSet(images[:4], labels[:4])]
    hashes = {s.content_hash() for s in others}
    assert len(hashes) == 5
    assert first not in hashes


def test_a_tensor_set_refuses_what_is_no_images():
    with pytest.raises(ValueError, match="images must be uint8"):
        TensorSet(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"\(3,\) labels for 2 images"):
        TensorSet(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), torch.zeros(3))


def test_resizing_keeps_constants_and_averages():
    assert torch.equal(resize(torch.full((3, 1, 28, 28), 77, dtype=torch.uint8), 32), torch.full((3, 1, 32, 32), 77))
    stripes = torch.tensor([0, 200], dtype=torch.uint8).repeat(16).expand(1, 1, 32, 32)
    small = resize(stripes, 8)[..., 1:-1].int()
    assert (small - 100).abs().max() <= 1  # without the filter it would be 0 or 200
    images = torch.from_numpy(noise(4, 1, 28, 28))
    exact = F.interpolate(images.double(), (20, 20), mode="bilinear", antialias=True)
    assert (resize(images, 20) - exact).abs().max() < 0.501  # rounded, not truncated
    same = torch.from_numpy(noise(2, 1, 8, 8))
    assert resize(same, 8) is same


def test_held_out_is_every_nth():
    assert held_out(20, 0.1).nonzero().flatten().tolist() == [9, 19]
    assert held_out(9, 1 / 3).nonzero().flatten().tolist() == [2, 5, 8]
    assert int(held_out(1000, 0.7).sum()) == 700
    assert not held_out(5, 0.0).any()
    with pytest.raises(UserError, match=r"data.heldout=1.0 is no fraction"):
        held_out(5, 1.0)
    with pytest.raises(UserError, match=r"data.heldout=0.1 of 5 images holds none out: raise it, or set it to 0"):
        held_out(5, 0.1)


def test_a_minibatch_cannot_exceed_the_set():
    assert refused(Digits(batch_size=1598)) == (
        "batch_size=1598 is more than the 1597 training images of digits: set batch_size to 1597 or less"
    )


# --- torchvision's sets ------------------------------------------------------------------------------------------


def write_idx(folder, images, labels, prefix):
    folder.mkdir(parents=True, exist_ok=True)
    n, h, w = images.shape
    header = np.array([0x803, n, h, w], ">i4").tobytes()
    (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + images.tobytes())
    header = np.array([0x801, n], ">i4").tobytes()
    (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels.astype(np.uint8).tobytes())


@pytest.mark.parametrize(("cls", "folder"), [(MNIST, "MNIST"), (FashionMNIST, "FashionMNIST")])
def test_idx_files(tmp_path, cls, folder):
    images, labels = noise(30, 28, 28), np.arange(30) % 10
    write_idx(tmp_path / folder / "raw", images[:20], labels[:20], "train")
    write_idx(tmp_path / folder / "raw", images[20:], labels[20:], "t10k")
    data = cls(root=str(tmp_path), download=False, batch_size=10)
    assert data.sample_spec.shape == (1, 28, 28)
    assert np.array_equal(data.train.images.numpy(), images[:20, None])
    assert data.train.labels.tolist() == labels[:20].tolist()
    assert np.array_equal(data.heldout.images.numpy(), images[20:, None])
    assert cls(root=str(tmp_path), resolution=32, batch_size=10).train.sample_shape == (1, 32, 32)


def write_mnist(root, seed=0):
    """Twenty digits to train on and ten test digits, in MNIST's files."""
    images, labels = noise(30, 28, 28, seed=seed), np.random.default_rng(seed).integers(0, 10, 30)
    for prefix, part in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        write_idx(root / "MNIST" / "raw", images[part], labels[part], prefix)
    return [(images[:20], labels[:20]), (images[20:], labels[20:])]


def test_stacked_mnist_is_three_digits_a_image(tmp_path):
    parts = write_mnist(tmp_path)
    data = StackedMNIST(root=str(tmp_path), download=False, size=500, heldout_size=200, batch_size=10)
    assert (data.name, data.sample_spec.shape, data.num_classes, data.metrics) == (
        "stacked_mnist", (3, 28, 28), 1000, "stacked_mnist",
    )  # fmt: skip
    assert (len(data.train), len(data.heldout)) == (500, 200)
    for stacked, (images, labels) in zip((data.train, data.heldout), parts, strict=True):
        number = {image.tobytes(): i for i, image in enumerate(images)}
        chosen = [[number[plane.tobytes()] for plane in image.numpy()] for image in stacked.images]
        expected = labels[np.array(chosen)] @ [100, 10, 1]
        assert stacked.labels.tolist() == expected.tolist()
        uses = np.bincount(np.array(chosen).ravel(), minlength=len(images))
        mean = 3 * len(stacked) / len(images)
        assert (abs(uses - mean) < 5 * mean**0.5).all()
        assert len({tuple(c) for c in chosen}) > 0.8 * len(stacked)


def test_stacked_mnist_depends_on_its_own_seed_only(tmp_path):
    write_mnist(tmp_path)

    def stacked(**arguments):
        small = {"size": 50, "heldout_size": 20, "batch_size": 5}
        return StackedMNIST(root=str(tmp_path), download=False, **small | arguments)

    first = stacked()
    assert first.train.content_hash() == stacked(seed=1).train.content_hash()
    assert first.train.content_hash() != stacked(stacking_seed=1).train.content_hash()
    digits = MNIST(root=str(tmp_path), download=False, resolution=32, batch_size=5).train
    enlarged = {image.numpy().tobytes() for image in digits.images}
    assert stacked(resolution=32).sample_spec.shape == (3, 32, 32)
    assert all(plane.numpy().tobytes() in enlarged for plane in stacked(resolution=32).train.images.flatten(0, 1))
    with pytest.raises(UserError, match=r"data.size is 0: it has to be at least 1"):
        StackedMNIST(size=0)


@pytest.mark.parametrize(("cls", "key", "classes"), [(CIFAR10, "labels", 10), (CIFAR100, "fine_labels", 100)])
def test_cifar_pickles(tmp_path, monkeypatch, cls, key, classes):
    monkeypatch.setattr(cifar, "check_integrity", lambda *_: True)
    source = cls.source
    folder = tmp_path / source.base_folder
    folder.mkdir()
    pixels, labels = noise(60, 3, 32, 32), (np.arange(60) % classes).tolist()
    for i, (name, _) in enumerate([*source.train_list, *source.test_list]):
        part = slice(i * 10, i * 10 + 10)
        entry = {"data": pixels[part].reshape(10, -1), key: labels[part]}
        (folder / name).write_bytes(pickle.dumps(entry))
    names = {source.meta["key"]: [str(i) for i in range(classes)]}
    (folder / source.meta["filename"]).write_bytes(pickle.dumps(names))
    data = cls(root=str(tmp_path), download=False, batch_size=10)
    n = 10 * len(source.train_list)
    assert data.num_classes == classes
    assert np.array_equal(data.train.images.numpy(), pixels[:n])
    assert data.train.labels.tolist() == labels[:n]
    assert np.array_equal(data.heldout.images.numpy(), pixels[n : n + 10])


@pytest.mark.parametrize("resident", [None, False])
def test_stl10_binaries(tmp_path, monkeypatch, resident):
    monkeypatch.setattr(torchvision.datasets.stl10, "check_integrity", lambda *_: True)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    pixels = noise(9, 3, 96, 96)
    for name, part in [("train", slice(0, 3)), ("unlabeled", slice(3, 7)), ("test", slice(7, 9))]:
        (folder / f"{name}_X.bin").write_bytes(pixels[part].transpose(0, 1, 3, 2).tobytes())
        (folder / f"{name}_y.bin").write_bytes(np.ones(len(pixels[part]), np.uint8).tobytes())
    data = STL10(root=str(tmp_path), download=False, batch_size=2, resident=resident)
    assert data.num_classes == 0
    assert data.train.labels is None
    assert data.train.on_device is (resident is None)
    assert np.array_equal(data.train.images.numpy(), pixels[:7])
    assert np.array_equal(data.heldout.images.numpy(), pixels[7:])
    batch = next(iter(data.rounds()))
    assert batch.labels is None
    assert batch.images.shape == (2, 3, 96, 96)


@pytest.mark.parametrize("resident", [True, False])
def test_celeba_files(tmp_path, monkeypatch, resident):
    monkeypatch.setattr(celeba, "check_integrity", lambda *_: True)
    folder = tmp_path / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06}.png" for i in range(8)]
    faces = noise(8, 218, 178, 3)
    for name, face in zip(names, faces, strict=True):
        Image.fromarray(face).save(folder / "img_align_celeba" / name)
    split = [0, 0, 0, 0, 1, 1, 2, 2]
    (folder / "list_eval_partition.txt").write_text("".join(f"{n} {s}\n" for n, s in zip(names, split, strict=True)))
    (folder / "identity_CelebA.txt").write_text("".join(f"{n} 1\n" for n in names))
    for file in ("list_bbox_celeba.txt", "list_landmarks_align_celeba.txt", "list_attr_celeba.txt"):
        (folder / file).write_text("8\na b\n" + "".join(f"{n} 1 -1\n" for n in names))
    data = CelebA(root=str(tmp_path), download=False, resolution=148, batch_size=4, resident=resident, num_workers=0)
    assert (len(data.train), len(data.heldout)) == (4, 2)
    assert np.array_equal(data.train.take(4).numpy(), faces[:4, 35:183, 15:163].transpose(0, 3, 1, 2))
    assert np.array_equal(data.heldout.take(2).numpy(), faces[4:6, 35:183, 15:163].transpose(0, 3, 1, 2))
    assert CelebA(root=str(tmp_path), batch_size=4).train.sample_shape == (3, 64, 64)


def test_the_real_mnist(real):
    data = MNIST(root=str(real("MNIST/raw")), download=False)
    assert (len(data.train), len(data.heldout)) == (60000, 10000)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train.images.float().mean() / 255 == pytest.approx(0.1307, abs=1e-4)
    batch = data.ready(next(iter(data.rounds(start=2000))))
    assert batch.images.shape == (64, 1, 28, 28)
    assert (batch.images.min(), batch.images.max()) == (-1, 1)


def test_the_real_cifar10_as_arrays(real):
    root = real("cifar10/train.npz") / "cifar10"
    data = Arrays(str(root / "train.npz"), heldout_path=str(root / "test_first1000.npz"))
    assert data.sample_spec.shape == (3, 32, 32)
    assert data.num_classes == 10
    assert data.train.labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert (len(data.train), len(data.heldout)) == (50000, 1000)
    means = data.train.images[:5000].float().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)


@pytest.mark.parametrize(
    ("cls", "folder"),
    [
        (MNIST, "MNIST/raw"),
        (StackedMNIST, "MNIST/raw"),
        (FashionMNIST, "FashionMNIST/raw"),
        (CIFAR10, "cifar-10-batches-py"),
        (CIFAR100, "cifar-100-python"),
        (STL10, "stl10_binary"),
        (CelebA, "celeba"),
    ],
)
def test_missing_files_without_download(tmp_path, cls, folder):
    message = refused(cls(root=str(tmp_path), download=False))
    assert message.startswith(f"{cls.name} is not in {tmp_path / folder} (Dataset not found")
    assert message.endswith("set data.download=true, or put its files there or set data.root to where they are")


def test_a_failing_download_is_one_line(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise URLError("no route\nto host")

    monkeypatch.setattr(mnist, "download_and_extract_archive", unreachable)
    monkeypatch.setattr(cifar, "download_and_extract_archive", unreachable)
    for cls in (MNIST, CIFAR10):
        message = refused(cls(root=str(tmp_path)))
        assert f"{cls.name} is not in {tmp_path}" in message
        assert "downloading it failed (" in message
        assert message.endswith("check the network, put its files there, or set data.root to where they are")


def test_damaged_files_are_one_line(tmp_path):
    images, labels = noise(30, 28, 28), np.arange(30) % 10
    for prefix in ("train", "t10k"):
        write_idx(tmp_path / "MNIST/raw", images, labels, prefix)
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    assert "mnist is not in" in refused(MNIST(root=str(tmp_path), download=False))


# --- folders of images -----------------------------------------------------------------------------------------


def write_images(root, names, size=(10, 8), seed=0):
    images = {}
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        images[name] = noise(size[1], size[0], 3, seed=seed + i)
        Image.fromarray(images[name]).save(root / name)
    return images


@pytest.mark.parametrize("resident", [True, False])
def test_a_folder_of_any_nesting(tmp_path, resident):
    images = write_images(tmp_path, ["b.png", "a/z/y/1.png", "a/2.bmp", "c/3.PNG"])
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "a" / "._2.png").write_bytes(b"hidden")
    data = ImageFolder(str(tmp_path), 8, batch_size=2, resident=resident)
    assert data.names == ["a/2.bmp", "a/z/y/1.png", "b.png", "c/3.PNG"]
    expected = np.stack([images[name][:, 1:9].transpose(2, 0, 1) for name in data.names])
    assert np.array_equal(data.train.take(9).numpy(), expected)  # the central 8x8 of 10x8
    assert data.num_classes == 0
    assert data.train.labels is None
    assert data.heldout is None
    assert isinstance(data.train, TensorSet if resident else FileSet)
    assert [len(images) for images, _ in data.train.batches(3)] == [3, 1]
    assert data.describe()["heldout"] == 0


def test_the_limit_decides_what_is_resident(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"])  # 2 * 3 * 8 * 8 = 384 bytes
    for limit, kind in [(384 / 2**30, TensorSet), (383 / 2**30, FileSet)]:
        data = ImageFolder(str(tmp_path), 8, batch_size=1, resident_limit_gib=limit)
        assert isinstance(data.train, kind)


def test_labels_are_the_first_level_folders(tmp_path):
    write_images(tmp_path, ["dog/1.png", "cat/x/1.png", "cat/2.png", "emu/1.png"])
    data = ImageFolder(str(tmp_path), 8, labels=True, batch_size=1)
    assert data.num_classes == 3  # before set-up: networks are built from it
    assert data.classes == ["cat", "dog", "emu"]
    assert data.train.labels.tolist() == [0, 0, 1, 2]
    write_images(tmp_path, ["loose.png"])
    assert refused(ImageFolder(str(tmp_path), 8, labels=True)).startswith(
        f"1 images are directly in {tmp_path} and have no class (loose.png): move them"
    )


@pytest.mark.parametrize("resident", [True, False])
def test_a_share_of_a_folder_is_held_out(tmp_path, resident):
    write_images(tmp_path, [f"{i}.png" for i in range(8)])
    whole = ImageFolder(str(tmp_path), 8, batch_size=1).train.take(8)
    data = ImageFolder(str(tmp_path), 8, heldout=0.25, batch_size=1, resident=resident)
    assert torch.equal(data.heldout.take(8), whole[[3, 7]])
    assert torch.equal(data.train.take(8), whole[[0, 1, 2, 4, 5, 6]])


@pytest.mark.parametrize("resident", [True, False])
def test_a_number_of_a_folder_s_images_is_spaced_evenly(tmp_path, resident):
    write_images(tmp_path, [f"{i // 4}/{i}.png" for i in range(8)])
    options = {"labels": True, "batch_size": 1}
    whole = ImageFolder(str(tmp_path), 8, heldout=0.25, **options)
    data = ImageFolder(str(tmp_path), 8, heldout=0.25, resident=resident, train_size=4, **options)
    assert torch.equal(data.train.take(8), whole.train.take(8)[[0, 1, 3, 4]])
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert torch.equal(data.train.gather([3])[0], whole.train.gather([4])[0])
    assert torch.equal(data.heldout.take(8), whole.heldout.take(8))
    assert data.train is data.train
    assert refused(ImageFolder(str(tmp_path), 8, train_size=9, **options)).startswith("data.train_size=9: ")


def test_modes_and_sizes_of_images(tmp_path):
    Image.fromarray(noise(20, 30)).save(tmp_path / "grey.png")
    Image.fromarray(noise(20, 30, 4)).save(tmp_path / "alpha.png")
    Image.fromarray(np.full((20, 30), 40000, np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(noise(16, 16, 3)).convert("P").save(tmp_path / "palette.png")
    Image.fromarray(np.full((50, 40, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    colour = ImageFolder(str(tmp_path), 16, batch_size=1)
    grey = ImageFolder(str(tmp_path), 16, channels=1, batch_size=1)
    assert colour.train.take(9).shape == (5, 3, 16, 16)
    assert grey.train.take(9).shape == (5, 1, 16, 16)
    assert grey.train.take(9)[1].unique().tolist() == [40000 >> 8]
    assert (colour.train.take(9)[4].int() - 90).abs().max() <= 1


def test_the_hash_of_streamed_files(tmp_path):
    write_images(tmp_path, ["a.bmp", "b.bmp"])

    def streamed(resolution=8):
        return ImageFolder(str(tmp_path), resolution, batch_size=1, resident=False).train.content_hash()

    first = streamed()
    assert first == streamed()
    assert first != streamed(4)
    write_images(tmp_path, ["b.bmp"], size=(12, 8))
    assert first != streamed()


def test_missing_and_empty_folders(tmp_path):
    missing = tmp_path / "nowhere"
    assert refused(ImageFolder(str(missing), 8)) == f"no folder {missing}: set data.root to a folder of images"
    (tmp_path / "readme.txt").write_text("")
    message = refused(ImageFolder(str(tmp_path), 8))
    assert message.startswith(f"no images in {tmp_path} or below (looked for .png .jpg .jpeg .webp")


@pytest.mark.parametrize("resident", [True, False])
def test_corrupt_images_are_counted_and_named_or_skipped(tmp_path, resident):
    write_images(tmp_path, [f"{i:02}.png" for i in range(10)])
    good = ImageFolder(str(tmp_path), 8, batch_size=1).train.take(10)
    for i in (1, 4, 6, 8):
        (tmp_path / f"{i:02}.png").write_bytes(b"nothing")
    assert refused(ImageFolder(str(tmp_path), 8, resident=resident)) == (
        f"4 of 10 images cannot be read: 01.png ({NO_IMAGE}), 04.png ({NO_IMAGE}), 06.png ({NO_IMAGE}), ...: remove "
        "them or set data.skip_corrupt=true"
    )
    data = ImageFolder(str(tmp_path), 8, resident=resident, skip_corrupt=True, heldout=0.2, batch_size=1)
    assert torch.equal(data.train.take(10), good[[0, 2, 3, 5, 7]])
    assert torch.equal(data.heldout.take(10), good[[9]])
    for i in range(10):
        (tmp_path / f"{i:02}.png").write_bytes(b"nothing")
    assert refused(ImageFolder(str(tmp_path), 8, resident=resident, skip_corrupt=True)) == (
        f"10 of 10 images cannot be read: 00.png ({NO_IMAGE}), 01.png ({NO_IMAGE}), 02.png ({NO_IMAGE}), ...: "
        "remove them"
    )


def test_a_resident_folder_finds_truncated_images_at_once(tmp_path):
    write_images(tmp_path, ["a.png", "b.png"], size=(16, 16))
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:200])
    assert refused(ImageFolder(str(tmp_path), 8)).startswith(
        "1 of 2 images cannot be read: b.png (image file is truncated): "
    )


# --- arrays ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["images", "x", "arr_0"])
@pytest.mark.parametrize(
    ("shape", "channels"), [((6, 8, 8, 3), 3), ((6, 3, 8, 8), 3), ((6, 8, 8), 1), ((6, 8, 8, 5), 5), ((6, 1, 8, 8), 1)]
)
def test_arrays_of_any_layout(tmp_path, key, shape, channels):
    images = noise(*shape)
    np.savez(tmp_path / "set.npz", **{key: images})
    data = Arrays(str(tmp_path / "set.npz"), batch_size=2)
    assert data.sample_spec.shape == (channels, 8, 8)
    assert (data.name, data.num_classes) == ("set", 0)
    planes = images.transpose(0, 3, 1, 2) if shape[-1] in (3, 5) else images.reshape(6, channels, 8, 8)
    assert np.array_equal(data.train.images.numpy(), planes)
    assert data.sample_spec.shape == (channels, 8, 8)  # after set-up too


@pytest.mark.parametrize("key", ["labels", "y"])
def test_arrays_with_labels_and_a_held_out_share(tmp_path, key):
    images = noise(10, 4, 4)
    np.savez(tmp_path / "set.npz", x=images, **{key: np.arange(10, dtype=np.uint8) % 5})
    data = Arrays(str(tmp_path / "set.npz"), heldout=0.2, batch_size=2, resident=False)
    assert data.num_classes == 5
    assert data.train.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert data.heldout.labels.tolist() == [4, 4]
    assert np.array_equal(data.heldout.images.numpy()[:, 0], images[[4, 9]])
    assert not data.train.on_device


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pixels": noise(4, 8, 8)}, "has no images: save them under one of images, x, arr_0 (it has pixels)"),
        ({"x": np.zeros((4, 8, 8), np.float32)}, "is float32: save the images as uint8, 0 to 255"),
        ({"x": noise(4, 8)}, "has shape (4, 8): it must be (N, H, W), (N, H, W, C) or (N, C, H, W), and not empty"),
        ({"x": noise(0, 8, 8)}, "has shape (0, 8, 8): it must be"),
        ({"x": noise(4, 8, 6, 3)}, "has shape (4, 8, 6, 3), which is not square: crop the images to squares"),
        ({"x": noise(4, 8, 6)}, "has shape (4, 8, 6), which is not square"),
        ({"x": noise(4, 8, 8, 8)}, "has shape (4, 8, 8, 8), in which channels and pixels look alike"),
        (
            {"x": noise(4, 8, 8), "y": np.zeros(3, int)},
            "has shape (3,), but there are 4 images: give one label an image",
        ),
        ({"x": noise(4, 8, 8), "y": np.zeros(4)}, "must hold integers from 0, and it is float64 from 0.0"),
        ({"x": noise(4, 8, 8), "y": np.full(4, -1)}, "must hold integers from 0, and it is int64 from -1"),
    ],
)
def test_arrays_that_cannot_be_used(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    assert message in refused(Arrays(str(tmp_path / "set.npz")))


def test_files_that_are_no_arrays(tmp_path):
    missing = tmp_path / "none.npz"
    assert refused(Arrays(str(missing))).startswith(f"no file {missing}: give an .npz file (to gan train as data.path")
    (tmp_path / "text.npz").write_text("no arrays")
    assert "text.npz cannot be read as an .npz file" in refused(Arrays(str(tmp_path / "text.npz")))
    np.save(tmp_path / "single.npy", noise(4, 8, 8))
    assert "cannot be read as an .npz file (a single array)" in refused(Arrays(str(tmp_path / "single.npy")))


def test_arrays_that_do_not_match(tmp_path):
    np.savez(tmp_path / "a.npz", x=noise(4, 8, 8), y=np.arange(4))
    np.savez(tmp_path / "b.npz", x=noise(4, 6, 6))
    np.savez(tmp_path / "c.npz", x=noise(4, 8, 8), y=np.arange(4) + 3)
    a, b, c = (str(tmp_path / f"{n}.npz") for n in "abc")
    assert f"{b} has images of 1x6x6, {a} of 1x8x8: both must be of one size" in refused(Arrays(a, b))
    assert "has a label 6" in refused(Arrays(a, c))
    assert "has images of 8 pixels, not of data.resolution=16: set data.resolution=8" in refused(
        Arrays(a, resolution=16)
    )
    with pytest.raises(UserError, match="exclude each other: give only one"):
        Arrays(a, b, heldout=0.5)


# --- configuration -----------------------------------------------------------------------------------------------


FILES = sorted((PROJECT / "conf" / "data").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_each_file_lists_its_class_arguments_with_their_defaults(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert not first.endswith(".")
    config = yaml.safe_load(path.read_text())
    if "defaults" in config:
        assert list(config) == ["defaults"]
        return
    target = config.pop("_target_")
    if not target.startswith("gan_research.data.") or target.rsplit(".", 1)[1] not in sets.__all__:
        pytest.skip("no set of the project")
    kind = getattr(sets, target.rsplit(".", 1)[1])
    assert config.keys() == arguments_of(kind)[0].keys()
    if "density" in config:
        density = config.pop("density")
        assert list(density)[1:] == list(inspect.signature(get_object(density["_target_"])).parameters)
        config["density"] = instantiate(density)
    composed = {"batch_size": "${batch_size}", "seed": "${seed}"}
    if path.stem != "image_folder":
        composed["root"] = "${oc.env:GAN_DATA,data}"
    given = {"root": "x", "path": "x.npz", "resolution": 32, "batch_size": 4, "seed": 3}
    needed = {name: given[name] for name, value in config.items() if value == "???" or name in composed}
    needed |= {name: value for name, value in config.items() if name == "density"}
    assert {name: config[name] for name in composed.keys() & config.keys()} == {
        name: text for name, text in composed.items() if name in config
    }
    by_file, by_itself = kind(**config | needed), kind(**needed)
    for name in vars(by_itself).keys() & config.keys():
        assert getattr(by_file, name) == getattr(by_itself, name), name


RINGS = {"ring": (8, 2.0, 0.02), "ring_25": (25, 2.0, 0.02), "unrolled_ring": (8, 2.0, 0.02)}
RINGS |= dict.fromkeys(("pacgan_ring", "veegan_ring"), (8, 1.0, 0.01))
DENSITIES = {name: sets.Ring(*numbers) for name, numbers in RINGS.items()}
DENSITIES |= {name: sets.Grid(5, 2.0, 0.05) for name in ("grid", "pacgan_grid", "veegan_grid")}
DENSITIES |= {"gaussian_1d": sets.Gaussian(1.0, 0.5), "mixture_1d": sets.Mixture1D([-1.0, 1.0], 0.5)}
DENSITIES |= {"swiss_roll": sets.SwissRoll(), "checkerboard": sets.Checkerboard(2.0)}
SEVENTHS = [2 * math.pi * k / 7 for k in range(7)]
DENSITIES["unrolled_notebook_ring"] = sets.GaussianMixture(
    [[round(math.sin(angle), 12), round(math.cos(angle), 12)] for angle in SEVENTHS], 0.01, [2, 1, 1, 1, 1, 1, 1]
)


@pytest.mark.parametrize("choice", DENSITIES)
def test_the_densities_of_the_files(choice):
    with initialize_config_dir(str(PROJECT / "conf" / "data"), version_base="1.3"):
        config = compose(choice)
    data = instantiate(config, batch_size=7, seed=1)
    assert describe(data.density) == describe(DENSITIES[choice])
    assert (data.batch_size, data.seed, data.reference) == (7, 1, 20000)


def test_no_density_is_left_out():
    points = {path.stem for path in FILES if "density:" in path.read_text() or "defaults:" in path.read_text()}
    assert points == set(DENSITIES)
