"""Every way to resize, against the library that it is named after."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchmetrics.image.fid import NoTrainInceptionV3

from gan_research.metrics.extractors.resizing import RESIZES, resized
from gan_research.utils.errors import UserError

SIZES = [(32, 32), (64, 64), (299, 299), (512, 512), (48, 80), (400, 150), (8, 8), (1, 1)]
sizes = pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))


def random_images(height: int, width: int, count: int = 2) -> Tensor:
    """Random levels, on which every resize does its worst."""
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.randint(256, (count, 3, height, width), generator=generator).float()


@sizes
def test_tf1_is_torch_fidelitys(size):
    images = random_images(*size)
    reference = interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False)
    assert torch.equal(resized(images, 299, "tf1"), reference)


@sizes
def test_clean_is_pils(size):
    images = random_images(*size)
    channels = [Image.fromarray(channel.numpy()) for channel in images.flatten(0, 1)]  # float32: mode "F"
    reference = np.stack([np.asarray(channel.resize((299, 299), Image.Resampling.BICUBIC)) for channel in channels])
    ours = resized(images, 299, "clean").flatten(0, 1).numpy()
    np.testing.assert_allclose(ours, reference.clip(0, 255), rtol=0, atol=0.01)
    if size == (32, 32):
        assert reference.min() < -10  # so that the clipping was tested
        assert ours.min() == 0
        assert ours.max() == 255


@sizes
def test_torchmetrics_is_torchmetrics(size):
    images = random_images(*size)
    network = NoTrainInceptionV3.__new__(NoTrainInceptionV3)  # only its first step, which stops at the first layer
    torch.nn.Module.__init__(network)
    network.features_list, network.use_antialias = ["64"], True
    given = []
    network.Conv2d_1a_3x3 = torch.nn.Identity()
    network.Conv2d_1a_3x3.register_forward_hook(lambda module, inputs, output: given.append(inputs[0]))
    network.Conv2d_2a_3x3 = network.Conv2d_2b_3x3 = network.MaxPool_1 = torch.nn.Identity()
    network(images.byte())
    torch.testing.assert_close((resized(images, 299, "torchmetrics") - 128) / 128, given[0], rtol=0, atol=0)


@pytest.mark.parametrize("mode", RESIZES)
def test_flat_images_stay_flat_and_the_right_size_stays_as_it_is(mode):
    flat = torch.full((1, 3, 20, 30), 77.0)
    torch.testing.assert_close(resized(flat, 50, mode), torch.full((1, 3, 50, 50), 77.0), rtol=0, atol=1e-4)
    images = random_images(50, 50)
    torch.testing.assert_close(resized(images, 50, mode), images, rtol=0, atol=1e-4)


def test_the_ways_differ_by_whole_levels():
    images = random_images(32, 32)
    tf1, clean, torchmetrics = (resized(images, 299, mode) for mode in RESIZES)
    assert 10 < (tf1 - torchmetrics).abs().mean() < 60
    assert 5 < (clean - torchmetrics).abs().mean() < 60


def test_an_unknown_way_is_an_error():
    with pytest.raises(UserError, match="there is no resize 'clear': did you mean 'clean'"):
        resized(random_images(4, 4), 8, "clear")
