"""A folder of images as they are: which are taken, which are refused, and what names them."""

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.data.folder import read_folder
from gan_research.data.image_files import AsItIs
from gan_research.data.sets import FileSet, TensorSet
from gan_research.utils.errors import UserError


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(folder, **images):
    """Each array, or image, as name.png in the folder."""
    folder.mkdir(exist_ok=True)
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


def test_a_photo_is_not_rotated(tmp_path):
    photo = Image.fromarray(noise(4, 6, 3))
    turned = photo.getexif()
    turned[0x0112] = 6  # a quarter turn, for a viewer
    photo.save(tmp_path / "a.png", exif=turned)
    assert read_folder(tmp_path)[0].sample_shape == (3, 4, 6)


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


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (Image.fromarray(noise(4, 4, 4)), "RGBA with transparency"),
        (Image.fromarray(noise(4, 4, 2)), "LA with transparency"),
        (Image.fromarray(np.full((4, 4), 40000, np.uint16)), "I;16"),
    ],
    ids=["RGBA", "LA", "16 bit"],
)
def test_what_is_not_plain_is_to_be_converted(image, mode, tmp_path):
    folder = save(tmp_path, a=noise(4, 4, 3), b=image)
    assert refused(folder) == (
        "1 of 2 images have transparency, or aren't 8-bit grey or RGB: "
        f"{folder / 'b.png'} is {mode}: convert them to RGB, or to grey"
    )


def test_a_transparent_colour_of_a_palette_is_transparency(tmp_path):
    Image.fromarray(noise(4, 4, 3)).quantize(8).save(tmp_path / "a.png", transparency=0)
    assert "a.png is P with transparency" in refused(tmp_path)


@pytest.mark.parametrize("limit", [2.0, 0.0], ids=["in memory", "from files"])
def test_corrupt_images_are_named_and_counted_or_skipped(tmp_path, limit):
    colours = noise(4, 16, 16, 3)
    folder = save(tmp_path, a=colours[0], b=colours[1], c=colours[2], d=colours[3])
    (folder / "b.png").write_bytes(b"not an image")
    (folder / "c.png").write_bytes((folder / "c.png").read_bytes()[:300])  # its header is whole
    assert refused(folder, resident_limit_gib=limit) == (
        "2 of 4 images cannot be read: b.png, c.png: remove them or leave them out by --skip-corrupt"
    )
    images, skipped = read_folder(folder, skip_corrupt=True, resident_limit_gib=limit)
    assert skipped == 2
    np.testing.assert_array_equal(images.take(4).numpy(), colours[[0, 3]].transpose(0, 3, 1, 2))
    for name in "ad":
        (folder / f"{name}.png").write_bytes(b"")
    assert refused(folder, skip_corrupt=True).startswith("4 of 4 images cannot be read: a.png, b.png, c.png, ...")


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
