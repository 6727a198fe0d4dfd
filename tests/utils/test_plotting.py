"""Figures and films: what is in the files, and that the same figure is the same file."""

import io
import itertools
import math

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.data import Gaussian
from gan_research.data.density_plots import draw_points, points_png
from gan_research.utils.errors import UserError
from gan_research.utils.plotting import (
    BOUND,
    DATA,
    DISCRIMINATOR,
    GENERATOR,
    OPTIMUM,
    PIXELS_PER_INCH,
    finite,
    mosaic,
    over_rounds,
    panels,
    styled,
    write_figure,
    write_film,
)


def drawn(y=1.0, width=2.0, height=1.5):
    """One panel with a line and a word."""
    figure, axes = panels(width=width, height=height)
    axes[0, 0].plot([0, 1], [0, y], color=GENERATOR)
    axes[0, 0].set_title("a line")
    return figure


def decoded(content):
    """A PNG's content as (height, width, 3) integers."""
    picture = Image.open(io.BytesIO(content))
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def has(pixels, color, tolerance=12):
    """The number of pixels of nearly that colour."""
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    return int((np.abs(pixels - wanted).max(axis=-1) <= tolerance).sum())


# --- figures ---------------------------------------------------------------------------------------------------------


def test_a_figure_is_written_as_png_and_svg_the_same_bytes_each_time(tmp_path):
    assert write_figure(drawn(), tmp_path / "deep" / "one") == tmp_path / "deep" / "one.png"
    write_figure(drawn(), tmp_path / "deep" / "two")
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"one.png", "one.svg", "two.png", "two.svg"}
    for kind in ("png", "svg"):
        one, two = ((tmp_path / "deep" / f"{name}.{kind}").read_bytes() for name in ("one", "two"))
        assert one == two
    svg = (tmp_path / "deep" / "one.svg").read_text()
    assert svg.startswith("<?xml")
    assert "dc:date" not in svg
    pixels = decoded((tmp_path / "deep" / "one.png").read_bytes())
    assert pixels.shape == (round(1.5 * PIXELS_PER_INCH), round(2 * PIXELS_PER_INCH), 3)
    assert has(pixels, GENERATOR) > 50


def test_another_figure_is_another_file(tmp_path):
    write_figure(drawn(1.0), tmp_path / "one")
    write_figure(drawn(-1.0), tmp_path / "two")
    for kind in ("png", "svg"):
        assert (tmp_path / f"one.{kind}").read_bytes() != (tmp_path / f"two.{kind}").read_bytes()


def test_panels_and_mosaics_have_the_size_asked_for():
    figure, axes = panels(2, 3, width=2, height=1.5)
    assert axes.shape == (2, 3)
    assert figure.get_size_inches().tolist() == [6, 3]
    figure, named = mosaic([["a", "b"], ["c", "c"]], heights=[1, 2.5], width=3)
    assert set(named) == {"a", "b", "c"}
    assert figure.get_size_inches().tolist() == [6, 3.5]


def test_the_style_is_left_to_those_who_ask_for_it():
    before = dict(matplotlib.rcParams)

    @styled
    def inside():
        assert matplotlib.rcParams["axes.spines.top"] is False
        matplotlib.rcParams["lines.linewidth"] = 7

    inside()
    _, axes = panels()
    assert not axes[0, 0].spines["top"].get_visible()
    mosaic([["a"]], heights=[1.0])
    draw_points(axes[0, 0], torch.randn(20, 2, generator=torch.Generator().manual_seed(0)))
    points_png(torch.zeros(5, 1), Gaussian())
    assert dict(matplotlib.rcParams) == before
    own = matplotlib.figure.Figure().subplots()
    assert own.spines["top"].get_visible()


def test_the_axis_of_rounds_gives_the_beginning_more_room():
    _, axes = panels()
    over_rounds(axes[0, 0], 400, ylabel="D")
    axis = axes[0, 0]
    assert axis.get_xlim() == (0, 400)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("round (square-root scale)", "D")
    places = axis.transData.transform([(0, 0), (100, 0), (400, 0)])[:, 0]
    assert (places[1] - places[0]) / (places[2] - places[0]) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("rounds", [1, 6, 80, 550, 2000])
def test_the_ticks_of_the_axis_of_rounds_are_on_it_up_to_about_its_end(rounds):
    _, axes = panels()
    over_rounds(axes[0, 0], rounds)
    ticks = axes[0, 0].get_xticks().tolist()
    assert axes[0, 0].get_xlim() == (0, rounds)
    assert ticks[0] == 0
    assert 0.9 * rounds <= ticks[-1] <= rounds
    assert ticks == sorted(set(ticks))


# --- what isn't finite -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_named(bad):
    finite(a=1.0, b=torch.zeros(3))
    with pytest.raises(UserError, match=r"^b: not finite"):
        finite(a=1.0, b=torch.tensor([0.0, bad]), c=bad)
    with pytest.raises(UserError, match=r"^samples: not finite"):
        points_png(torch.tensor([[0.0, bad], [1.0, 1.0]]))


# --- films -----------------------------------------------------------------------------------------------------------


def frames(count, **size):
    return (drawn(y, **size) for y in np.linspace(-1, 1, count))


@pytest.mark.parametrize(("count", "seconds", "each"), [(1, 8, None), (4, 0.8, 200), (5, 8, 1600), (5, 0.05, 20)])
def test_a_film_has_its_frames_and_rests_on_the_last_one(count, seconds, each, tmp_path):
    path = write_film(frames(count, width=1, height=0.8), tmp_path / "deep" / "film.gif", seconds)
    assert path == tmp_path / "deep" / "film.gif"
    with Image.open(path) as film:
        assert getattr(film, "n_frames", 1) == count
        assert film.size == (PIXELS_PER_INCH, round(0.8 * PIXELS_PER_INCH))
        durations, pictures = [], []
        for i in range(count):
            film.seek(i)
            durations.append(film.info["duration"])
            pictures.append(np.asarray(film.convert("RGB")))
    assert durations == [each] * (count - 1) + [2000]
    assert {picture.shape for picture in pictures} == {pictures[0].shape}
    for before, after in itertools.pairwise(pictures):
        assert (before != after).any()


def test_frames_that_do_not_change_are_still_there_for_their_time(tmp_path):
    """A GIF's writer may join equal frames: it is the time that counts."""
    path = write_film((drawn(width=1, height=0.8) for _ in range(4)), tmp_path / "film.gif", seconds=0.8)
    with Image.open(path) as film:
        total = 0
        for i in range(getattr(film, "n_frames", 1)):
            film.seek(i)
            total += film.info["duration"]
    assert total == 3 * 200 + 2000


def test_a_film_is_the_same_file_each_time_and_loops(tmp_path):
    one, two = (write_film(frames(3), tmp_path / f"{name}.gif") for name in "ab")
    assert one.read_bytes() == two.read_bytes()
    with Image.open(one) as film:
        assert film.info["loop"] == 0


def test_frames_of_a_film_keep_their_margins():
    """Whatever is written beside the axes, they stay where they are."""
    places = []
    for label in ("short", "a very long label\nof two lines"):
        figure, axes = mosaic([["a"]], heights=[2.0], film=True)
        axes["a"].set(ylabel=label, ylim=(0, 10.0 ** len(label)))
        figure.draw_without_rendering()
        places.append(axes["a"].get_position().bounds)
    assert places[0] == places[1]


def test_a_film_without_frames_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"film.gif: .*at least one frame"):
        write_film([], tmp_path / "film.gif")
    assert not list(tmp_path.iterdir())


def test_the_roles_have_colours_of_their_own():
    assert len({DATA, GENERATOR, DISCRIMINATOR, OPTIMUM, BOUND}) == 5
