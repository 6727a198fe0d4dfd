"""A folder of images: which are taken, how they are read, which are refused, and what names them."""

import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.data import Arrays, ImageFolder
from gan_research.data.folder import read_folder
from gan_research.data.image_files import AsItIs, find_images
from gan_research.data.sets import FileSet, TensorSet
from gan_research.utils.errors import UserError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(folder, **images):
    """Each array, or image, as name.png in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in images.items():
        image = image if isinstance(image, Image.Image) else Image.fromarray(image)
        image.save(folder / f"{name}.png")
    return folder


def refused(folder, **options):
    with pytest.raises(UserError) as caught:
        read_folder(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("limit", [2.0, 0.0], ids=["in memory", "from files"])
def test_colour_as_it_is_in_the_order_of_the_names(tmp_path, limit):
    colours = noise(3, 5, 7, 3)
    palette = Image.fromarray(colours[2]).quantize(16)
    folder = save(tmp_path, b=colours[0], a=colours[1], c=palette)
    images, skipped = read_folder(folder, resident_limit_gib=limit)
    assert isinstance(images, FileSet if limit == 0 else TensorSet)
    assert (len(images), images.sample_shape, skipped) == (3, (3, 5, 7), 0)
    expected = np.stack([colours[1], colours[0], np.asarray(palette.convert("RGB"))]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(images.take(3).numpy(), expected)
    np.testing.assert_array_equal(images.gather([2, 0])[0].numpy(), expected[[2, 0]])
    assert images.labels is None


def test_grey_and_black_and_white_are_grey(tmp_path):
    grey = noise(6, 4)
    images, _ = read_folder(save(tmp_path, a=grey, b=Image.fromarray(grey > 127)))
    assert images.sample_shape == (1, 6, 4)
    np.testing.assert_array_equal(images.take(2)[:, 0].numpy(), np.stack([grey, (grey > 127) * 255]))


def test_the_odd_ones_out_are_named_and_counted(tmp_path):
    folder = save(tmp_path, a=noise(8, 8, 3), b=noise(8, 8, 3), c=noise(8, 8, 3), d=noise(8, 9, 3), e=noise(8, 8))
    assert refused(folder) == (
        f"2 of 5 images are not colour of 8 x 8 pixels as the others are: {folder / 'd.png'} is colour of 9 x 8: "
        "give images of one size, all grey or all in colour"
    )
    (folder / "d.png").unlink()
    assert f"1 of 4 images are not colour of 8 x 8 pixels as the others are: {folder / 'e.png'} is grey" in refused(
        folder
    )


def rotated(image):
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter turn, for a viewer
    return {"exif": exif}


ALPHA = noise(6, 6, 4)
OPAQUE = ALPHA[..., 3:] / 255
WHITE = np.rint(ALPHA[..., :3] * OPAQUE + 255 * (1 - OPAQUE))  # the alpha image on white
DEEP = Image.fromarray(noise(6, 6).astype(np.uint16) * 256 + 99)
HIGH = noise(6, 6).max()
TAGGED = Image.fromarray(noise(6, 6, 3))
PALETTE = Image.new("RGB", (6, 6), (5, 6, 7)).quantize(2)
FRAMES = Image.new("RGB", (6, 6), (9, 9, 9)), Image.new("RGB", (6, 6), (200, 0, 0))

READ = {
    "alpha": (Image.fromarray(ALPHA), {}, ".png", WHITE, "1 RGBA; 1 with transparency, composited on white"),
    "webp": (Image.fromarray(ALPHA), {"lossless": True, "exact": True}, ".webp", WHITE, "composited on white"),
    "grey alpha": (
        Image.fromarray(np.stack([noise(6, 6), np.zeros((6, 6), np.uint8)], -1)), {}, ".png", np.full((6, 6), 255),
        "1 LA; 1 with transparency",
    ),
    "palette": (PALETTE, {"transparency": 0}, ".png", np.full((6, 6, 3), 255), "1 with transparency"),
    "grey key": (Image.new("L", (6, 6), 9), {"transparency": 9}, ".png", np.full((6, 6), 255), "1 with transparency"),
    "colour key": (
        Image.new("RGB", (6, 6), (1, 2, 3)), {"transparency": (1, 2, 3)}, ".png", np.full((6, 6, 3), 255),
        "1 with transparency",
    ),
    "GIF": (
        FRAMES[0], {"save_all": True, "append_images": FRAMES[1:]}, ".gif", np.full((6, 6, 3), 9),
        "1 animated, the first frame is taken",
    ),
    "16 bits": (DEEP, {}, ".png", noise(6, 6), f"1 of 16 bits a sample, by their high 8: the largest level is {HIGH}"),
    "16 bits, TIFF": (DEEP, {}, ".tiff", noise(6, 6), "1 of 16 bits"),
    "12 bits in 16": (
        Image.fromarray(np.full((6, 6), 4095, np.uint16)), {}, ".png", np.full((6, 6), 15),
        "the largest level is 15, as of 12 bits or fewer in 16",
    ),
    "rotated": (TAGGED, rotated(TAGGED), ".png", np.rot90(noise(6, 6, 3), -1), "1 rotated as EXIF specifies"),
    "JFIF": (Image.new("RGB", (6, 6), (9, 9, 9)), {"format": "jpeg"}, ".jfif", np.full((6, 6, 3), 9), "1 RGB"),
    "PPM": (TAGGED, {}, ".ppm", noise(6, 6, 3), "1 image files of 6 x 6; 1 RGB"),
    "black and white": (Image.new("1", (6, 6), 1), {}, ".bmp", np.full((6, 6), 255), "1 1"),
}  # fmt: skip
"""An image, how it is saved, its pixels as they are read, and what is noted."""


@pytest.mark.parametrize("case", READ)
def test_one_rule_for_training_and_evaluation(case, tmp_path):
    image, options, ending, pixels, note = READ[case]
    image.save(tmp_path / f"a{ending}", **options)
    measured, _ = read_folder(tmp_path)
    found = measured.take(1)[0].permute(1, 2, 0).squeeze(-1).numpy().astype(float)
    np.testing.assert_allclose(found, pixels, atol=1 if "alpha" in case or case == "webp" else 0)
    assert note in measured.files
    channels = measured.sample_shape[0]
    for options in ({}, {"resident": False}, {"resident": False, "skip_corrupt": True}):
        data = ImageFolder(str(tmp_path), 6, channels=channels, batch_size=1, num_workers=0, **options)
        assert torch.equal(data.train.take(1), measured.take(1)), options
        assert note in data.summary() or (case == "rotated" and options.get("resident") is False)


@pytest.mark.parametrize(
    ("image", "options", "ending", "parts"),
    [
        (Image.fromarray(np.ones((4, 4), np.float32)), {}, ".tif", ("b.tif is of mode F", "8 or 16 bits")),
        (Image.fromarray(np.ones((4, 4), np.int32)), {}, ".tif", ("b.tif is of mode I,", "8 or 16 bits")),
        (Image.fromarray(noise(4, 4, 3)).convert("LAB"), {}, ".tif", ("b.tif is of mode LAB",)),
        (DEEP, {"transparency": 5}, ".png", ("b.png has a transparent colour of samples I;16B", "8 bits")),
    ],
    ids=["float", "32 bits", "LAB", "16 bits with a transparent colour"],
)
def test_samples_of_unknown_scale_are_refused_by_all(image, options, ending, parts, tmp_path):
    save(tmp_path, a=noise(4, 4, 3))
    image.save(tmp_path / f"b{ending}", **options)
    for read in (
        lambda: read_folder(tmp_path, skip_corrupt=True),
        lambda: ImageFolder(str(tmp_path), 4, skip_corrupt=True).train,
        lambda: ImageFolder(str(tmp_path), 4, resident=False).train,
    ):
        with pytest.raises(UserError, match="1 of 2 images can't be used: ") as caught:
            read()
        assert all(part in str(caught.value) for part in parts)


def test_a_transparent_grey_level_of_4_bits_is_refused(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 4, 0, 0, 0, 0)) + chunk(b"tRNS", struct.pack(">H", 1))
    content = header + chunk(b"IDAT", zlib.compress(4 * b"\0\x12\x12")) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert "a transparent colour of samples L;4" in refused(tmp_path)


# --- which files -------------------------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_and_nothing_is_read_twice(tmp_path):
    folder = save(tmp_path / "images", b=noise(4, 4), c=noise(4, 4))
    save(folder / "z", d=noise(4, 4))
    (folder / "a.png").symlink_to("b.png")
    (folder / "e.png").hardlink_to(folder / "c.png")
    (folder / "again").symlink_to("z")
    (folder / "z" / "loop").symlink_to(folder)
    (folder / ".hidden.png").write_bytes(b"")
    for name in ("f.heic", "g.HEIC", "README", "notes.txt"):
        (folder / name).write_text("no image")
    os.mkfifo(folder / "pipe.png")
    save(folder / "runs" / "digits-s0", grid=noise(9, 9))
    (folder / "runs" / "digits-s0" / "run.json").write_text("{}")
    data = ImageFolder(str(folder), 4, batch_size=1)
    assert data.names == ["b.png", "c.png", "z/d.png"]
    images, skipped = read_folder(folder)
    assert (len(images), skipped, len(data.train)) == (3, 0, 3)
    _, kinds = find_images(folder)
    assert kinds == {
        "images repeated by links": 2, "folders repeated by links": 2, "hidden": 1, ".heic": 2, "without an ending": 1,
        "folders of runs": 1,
        ".txt": 1, ".png": 1,
    }  # fmt: skip
    assert images.files.startswith("3 image files of 4 x 4; 3 L; left out: 2 ")
    assert images.files in data.summary()


def test_images_by_links_alone_are_read(tmp_path):
    save(tmp_path / "store", a=noise(4, 4), b=noise(4, 4))
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "x").symlink_to(tmp_path / "store")
    (folder / "lost.png").symlink_to(tmp_path / "nowhere.png")
    assert find_images(folder)[0] == ["lost.png", "x/a.png", "x/b.png"]
    assert "lost.png ([Errno 2] No such file or directory" in refused(folder)
    assert read_folder(folder, skip_corrupt=True)[0].files == "2 image files of 4 x 4; 2 L; left out: 1 unreadable"


def test_sizes_and_modes_are_counted(tmp_path):
    save(tmp_path, a=noise(4, 4), b=noise(9, 4, 3), c=noise(5, 6, 3))
    assert ImageFolder(str(tmp_path), 4, batch_size=1).summary() == (
        f"{tmp_path.name}: 3 samples of 3 x 4 x 4; 3 image files of 4 x 4 to 4 x 9 (3 sizes); 2 RGB, 1 L"
    )


@pytest.mark.parametrize("name", ["d.zip", "d.TAR", "d.tar.gz", "d.7z"])
def test_an_archive_is_to_be_unpacked(name, tmp_path):
    (tmp_path / name).write_bytes(b"")
    assert "unpack it" in refused(tmp_path / name)
    for data in (ImageFolder(str(tmp_path / name), 8), Arrays(str(tmp_path / name))):
        with pytest.raises(UserError, match="unpack it"):
            data.setup()


@pytest.mark.parametrize("limit", [2.0, 0.0], ids=["in memory", "from files"])
def test_corrupt_images_are_named_and_counted_or_skipped(tmp_path, limit):
    colours = noise(4, 16, 16, 3)
    folder = save(tmp_path, a=colours[0], b=colours[1], c=colours[2], d=colours[3])
    (folder / "b.png").write_bytes(b"not an image")
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:300])  # its header is whole
    assert refused(folder, resident_limit_gib=limit) == (
        "2 of 4 images cannot be read: b.png (cannot identify image file), c.png (image file is truncated): remove "
        "them or leave them out by --skip-corrupt"
    )
    images, skipped = read_folder(folder, skip_corrupt=True, resident_limit_gib=limit)
    assert skipped == 2
    np.testing.assert_array_equal(images.take(4).numpy(), colours[[0, 3]].transpose(0, 3, 1, 2))
    for name in "ad":
        (folder / f"{name}.png").write_bytes(b"")
    assert refused(folder, skip_corrupt=True).startswith("4 of 4 images cannot be read: a.png (cannot")


def test_folders_without_images(tmp_path):
    assert refused(tmp_path / "nowhere") == f"no folder {tmp_path / 'nowhere'}: give a folder of images"
    assert refused(tmp_path).startswith(f"no images in {tmp_path} or below")


def test_the_hash_of_files_is_of_their_bytes_in_order(tmp_path):
    folder = save(tmp_path, a=noise(4, 4), b=noise(4, 4, seed=1))

    def hash_of(names=("a.png", "b.png"), shape=(1, 4, 4), labels=None):
        return FileSet(folder, names, AsItIs(shape), labels).content_hash()

    first = hash_of()
    others = {hash_of(("b.png", "a.png")), hash_of(shape=(3, 4, 4)), hash_of(labels=torch.tensor([0, 1]))}
    assert len(others | {first}) == 4
    (folder / "b.png").rename(folder / "c.png")
    assert hash_of(("a.png", "c.png")) == first  # names don't matter
    content = bytearray((folder / "c.png").read_bytes())
    content[-20] ^= 1
    (folder / "c.png").write_bytes(content)  # of the same size
    assert hash_of(("a.png", "c.png")) != first
