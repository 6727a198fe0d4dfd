"""Points as plots: they are where they belong, over the density that they are drawn from."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.data import Gaussian, Ring
from gan_research.data.density_plots import density_image, draw_points, points_png, widen
from gan_research.utils.plotting import DATA, GENERATOR, PIXELS_PER_INCH, panels, png


def decoded(content):
    """A PNG's content as (height, width, 3) integers."""
    image = Image.open(io.BytesIO(content))
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def has(pixels, color, tolerance=12):
    """The number of pixels of nearly that colour."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels - wanted).max(axis=-1) <= tolerance).sum())


@pytest.mark.parametrize("density", [None, Gaussian()], ids=["bare", "with density"])
def test_points_on_the_line_are_a_histogram(density):
    points = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0)) * 0.5 + 1
    pixels = decoded(points_png(points, density))
    assert pixels.shape == (3 * PIXELS_PER_INCH, 4 * PIXELS_PER_INCH, 3)
    assert has(pixels, GENERATOR) > 2000
    shifted = decoded(points_png(points + 0.5, density))
    assert pixels.shape == shifted.shape
    if density is not None:
        assert (pixels != shifted).any()
        assert has(pixels, DATA, 60) > has(decoded(points_png(points)), DATA, 60)


@pytest.mark.parametrize("density", [None, Ring()], ids=["bare", "with density"])
def test_points_in_the_plane_are_a_scatter_plot(density):
    points = (density or Ring()).sample(1000, torch.Generator().manual_seed(0))
    pixels = decoded(points_png(points, density))
    assert pixels.shape[:2] == (4 * PIXELS_PER_INCH, 4 * PIXELS_PER_INCH)
    assert has(pixels, GENERATOR, 40) > 50
    moved = decoded(points_png(points * 0.5, density))
    if density is not None:  # without one the limits go with the points
        assert (pixels != moved).any()


def test_points_are_where_they_belong():
    """A cloud in each of three quadrants: the fourth is empty."""
    corners = torch.tensor([[1.0, 1.0], [-1.0, 1.0], [-1.0, -1.0]]).repeat(200, 1)
    figure, axes = panels(width=3, height=3)
    random = torch.Generator().manual_seed(0)
    draw_points(axes[0, 0], corners + 0.1 * torch.randn(600, 2, generator=random), limits=[(-2, 2), (-2, 2)])
    axes[0, 0].set_axis_off()
    pixels = decoded(png(figure))
    middle = pixels.shape[0] // 2
    quadrants = {
        (v, h): has(pixels[rows, columns], GENERATOR, 60)
        for v, rows in (("top", slice(None, middle)), ("bottom", slice(middle, None)))
        for h, columns in (("left", slice(None, middle)), ("right", slice(middle, None)))
    }
    assert quadrants.pop("bottom right".partition(" ")[::2]) == 0
    assert min(quadrants.values()) > 20


def test_points_beyond_the_density_are_seen_at_the_edge_of_the_histogram():
    """On the line what lies outside of the limits is counted in the last bins, and not lost."""
    near = decoded(points_png(torch.full((100, 1), 1.0), Gaussian()))
    far = decoded(points_png(torch.full((100, 1), 50.0), Gaussian()))
    assert has(far, GENERATOR) > 0
    column = [int(np.nonzero(has_columns(pixels))[0].mean()) for pixels in (near, far)]
    assert column[1] > column[0] + 100


def has_columns(pixels):
    return [has(pixels[:, i], GENERATOR) > 0 for i in range(pixels.shape[1])]


def test_points_that_are_all_alike_and_a_single_one_can_be_drawn():
    for points in (torch.zeros(10, 2), torch.zeros(1, 2), torch.zeros(10, 1), torch.zeros(10, 3)):
        assert has(decoded(points_png(points)), GENERATOR, 100) > 0


def test_the_image_of_a_density_is_its_shape():
    image = density_image(Ring(modes=1, radius=0.0, std=1.0), size=101)
    assert image.shape == (101, 101)
    assert image.max().item() == image[50, 50].item() == 1
    torch.testing.assert_close(image, image.T, rtol=0, atol=1e-5)
    low, high = Ring(modes=1, radius=0.0, std=1.0).bounds[0]
    x = low + (high - low) * 0.6
    assert image[50, 60].item() == pytest.approx(math.exp(-(x**2) / 2), abs=1e-4)


def test_limits_are_widened_on_both_sides():
    (limits,) = widen([(0.0, 2.0)], 0.1)
    assert limits == pytest.approx((-0.2, 2.2), abs=1e-5)
    ((low, high),) = widen([(1.0, 1.0)], 0.1)
    assert low < 1 < high
