"""Images and noise that tests of augmentations share."""

import pytest
import torch

from gan_research.augmentations import AugmentationInput
from gan_research.regularizers import Progress
from gan_research.utils.rng import Noise


@pytest.fixture
def noise():
    """noise(rows=8, start=0, stop=None, seed=0): of one micro-batch."""

    def noise(rows=8, start=0, stop=None, seed=0, dtype=torch.float32):
        return Noise(seed, 0, rows, start, rows if stop is None else stop, dtype=dtype)

    return noise


@pytest.fixture
def shown(noise):
    """shown(augmentation, images, side="real", ...): what D is shown; the noise is that of 0, or given."""

    def shown(augmentation, images, side="real", call=0, drawn=None, **context):
        drawn = drawn or noise(len(images), dtype=images.dtype)
        context = {"fakes": images.detach(), "progress": Progress.zeros(), **context}
        return augmentation(images, side, AugmentationInput(drawn, call, **context))

    return shown


@pytest.fixture(scope="session")
def numbered():
    """Eight 8x8 images of 3 channels whose pixels are 1, 2, 3 and so on, all different."""
    return torch.arange(1.0, 8 * 3 * 64 + 1).view(8, 3, 8, 8)
