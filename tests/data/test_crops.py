"""The recipes of cropping and resizing, against sums by hand."""

import numpy as np
import pytest
from PIL import Image

from gan_research.data.image_files import RECIPES

NOISE = np.random.default_rng(2)


def fitted(recipe, resolution, pixels):
    """The image of a recipe, (H, W, 3), of pixels (H, W, 3)."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    return RECIPES[recipe](resolution, 3).read(planes)[0].transpose(1, 2, 0)


def noise(*shape):
    return NOISE.integers(0, 256, (*shape, 3), np.uint8)


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_image_of_the_resolution_is_unchanged(recipe):
    image = noise(16, 16)
    if recipe == "lsun_wide":
        image[:2] = image[-2:] = 0
        assert np.array_equal(fitted(recipe, 16, np.ascontiguousarray(image[2:-2])), image)
    else:
        assert np.array_equal(fitted(recipe, 16, image), image)


@pytest.mark.parametrize(("height", "width"), [(9, 14), (15, 8)])
def test_the_central_square_of_stylegan(height, width):
    image, side = noise(height, width), min(height, width)
    rows = slice((height - side) // 2, (height + side) // 2)
    columns = slice((width - side) // 2, (width + side) // 2)
    assert np.array_equal(fitted("stylegan_center_crop", side, image), image[rows, columns])
    resized = Image.fromarray(np.ascontiguousarray(image[rows, columns])).resize((4, 4), Image.Resampling.LANCZOS)
    assert np.array_equal(fitted("stylegan_center_crop", 4, image), np.asarray(resized))


def test_adm_averages_boxes_while_the_image_is_twice_as_large():
    """The sides of 36 x 32 pixels are halved twice to 9 x 8, each time rounded by column, then by row."""
    image = noise(32, 36)
    means = image.astype(float)
    for _ in range(2):
        means = np.floor((means[:, ::2] + means[:, 1::2] + 1) / 2)
        means = np.floor((means[::2] + means[1::2] + 1) / 2)
    assert np.array_equal(fitted("adm", 8, image), means[:, 0:8])  # (9 - 8) // 2 = 0


def test_adm_resizes_the_shorter_side_bicubically_after_halving_and_then_crops():
    image = noise(30, 45)
    resized = Image.fromarray(image).resize((24, 16), Image.Resampling.BICUBIC)  # 30 < 2 * 16: no halving
    assert np.array_equal(fitted("adm", 16, image), np.asarray(resized)[:, 4:20])


def test_the_wide_recipe_puts_the_picture_between_black_bars():
    image = noise(20, 16)  # of LSUN's width: only rows are cropped, and resized
    out = fitted("lsun_wide", 16, image)
    assert not out[:2].any()
    assert not out[14:].any()
    assert np.array_equal(out[2:14], np.asarray(Image.fromarray(image).resize((16, 12), Image.Resampling.LANCZOS)))
    double = noise(32, 32)  # twice as wide: the central 16 rows are stretched, as in StyleGAN's tool
    central = Image.fromarray(np.ascontiguousarray(double[8:24])).resize((16, 12), Image.Resampling.LANCZOS)
    assert np.array_equal(fitted("lsun_wide", 16, double)[2:14], np.asarray(central))
    for small in (noise(16, 15), noise(8, 16)):
        with pytest.raises(ValueError, match="too few for lsun_wide at 16"):
            fitted("lsun_wide", 16, small)


def test_recipes_differ_and_their_names_tell_them_apart():
    image = noise(40, 48)
    outs = [fitted(recipe, 16, image) for recipe in RECIPES]
    assert all(not np.array_equal(a, b) for i, a in enumerate(outs) for b in outs[:i])
    assert len({f"{decoder(16, 3)}" for decoder in RECIPES.values()}) == 3
