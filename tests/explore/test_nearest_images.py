"""The nearest real images are the nearest, and data that aren't there are an error only when they are needed."""

import pytest
import torch

from gan_research.data.sets import TensorSet
from gan_research.explore.neighbours import Neighbours, Reals
from gan_research.metrics import Evaluation, Values
from gan_research.utils.errors import UserError


def reals_of(pictures):
    images, labels = pictures.images[:, None], torch.arange(60) % 3
    return Reals("pictures", TensorSet(images[:50], labels[:50]), TensorSet(images[50:], labels[50:]), "abc")


def evaluation():
    return Evaluation(Values(), ["precision_recall"])


def test_the_nearest_are_in_order_and_a_copy_has_distance_0(pictures):
    neighbours = Neighbours(lambda: reals_of(pictures), evaluation)
    assert not neighbours.is_ready
    neighbours.prepare()
    assert neighbours.is_ready
    image = pictures.images[7][None]
    found = neighbours(image, 4)
    distance = (pictures.images.flatten(1).double() / 255 - image.flatten().double() / 255).norm(dim=1)
    nearest = distance[:50].argsort()[:4]
    assert found.distances == pytest.approx(distance[nearest].tolist(), abs=1e-6)
    assert found.distances[0] == 0.0
    assert torch.equal(found.images[:, 0], pictures.images[nearest])
    assert found.labels == (nearest % 3).tolist()
    assert found.heldout == pytest.approx(distance[50:].min().item(), rel=1e-6)
    assert len(neighbours(image, 1000).distances) == 50


def test_fewer_images_are_drawn_at_random(pictures):
    reals = reals_of(pictures)
    few = Neighbours(lambda: Reals("few", reals.train), evaluation, most=20)
    few.prepare()
    found = few(pictures.images[0][None], 50)
    assert (len(found.distances), found.heldout, len(few.reals.train)) == (20, None, 20)
    assert "20 images of few" in few.description


def test_missing_data_are_an_error_when_they_are_needed():
    def missing():
        raise UserError("there are no data in /nowhere")

    neighbours = Neighbours(missing, evaluation)
    for _ in range(2):
        with pytest.raises(UserError, match="no data"):
            neighbours.prepare()
    assert not neighbours.is_ready
