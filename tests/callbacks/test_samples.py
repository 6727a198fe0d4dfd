"""The grids of generated and of real samples."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gan_research.callbacks import SampleGrid
from gan_research.callbacks.samples import drawn_by_class
from gan_research.data import Arrays


def cells(path):
    """The cells of a grid of 4 x 4 images enlarged to 32, one pixel of each image pixel: (9, 4, 4)."""
    image = torch.from_numpy(np.array(Image.open(path))[:, :, 0])
    return torch.stack([image[2 + 34 * i :, 2 + 34 * j :][:32:8, :32:8] for i in range(3) for j in range(3)])


class Pictures:
    """A logger of pictures."""

    def __init__(self):
        self.logged = []

    def log_picture(self, name, path, round):
        self.logged.append((name, path.name, round))


def test_real_samples_are_drawn_once_in_the_same_cells(play, pictures, tmp_path, monkeypatch):
    logger = Pictures()
    monkeypatch.setattr("gan_research.callbacks.samples.log_picture", lambda _, *picture: logger.log_picture(*picture))
    gan = play(rounds=4, callbacks=[SampleGrid(tmp_path, every=2, count=9)])
    names = [("samples", f"round_0000000{n}.png", n) for n in (0, 2, 4)]
    assert logger.logged == [names[0], ("real", "real.png", 0), *names[1:]]
    real = cells(tmp_path / "real.png")
    assert Image.open(tmp_path / "real.png").size == Image.open(tmp_path / "round_00000004.png").size
    found = [(real[i] == pictures.images).flatten(1).all(1).nonzero() for i in range(9)]
    assert len({int(index) for index in found}) == 9
    play(gan=gan, callbacks=[SampleGrid(tmp_path, every=2, count=9)])
    assert [name for name, *_ in logger.logged].count("real") == 1


def test_classes_of_the_cells_are_those_of_the_generator(pictures):
    samples = Arrays(pictures.classes, batch_size=4)
    samples.setup()
    order = drawn_by_class(samples.train, 30, num_classes=3)
    assert samples.train.labels[order].tolist() == [i % 3 for i in range(30)]
    assert len(order.unique()) == 30
    assert drawn_by_class(samples.train, 1000, num_classes=0).sort().values.tolist() == list(range(len(samples.train)))


@pytest.mark.parametrize("labels", [torch.tensor([0, 1, 1]), torch.tensor([0, 0, 0])])
def test_few_images_of_a_class_are_repeated_and_none_are_left_out(labels):
    class Few(SimpleNamespace):
        def __len__(self):
            return 3

    drawn = drawn_by_class(Few(labels=labels), 6, num_classes=2)
    expected = [0, 1, 0, 1, 0, 1] if 1 in labels else [0, 0, 0]
    assert labels[drawn].tolist() == expected
