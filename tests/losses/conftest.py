"""What the tests of the losses share."""

import pytest

from gan_research import losses
from gan_research.losses import FGAN, AdversarialLoss, Separable


@pytest.fixture(scope="session")
def finished():
    """The classes of the package's losses, without those that others are built on."""

    def below(cls):
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    ours = {cls for cls in below(AdversarialLoss) if cls.__module__.startswith("gan_research.")}
    return ours - {AdversarialLoss, Separable, FGAN, losses.relativistic.Relative}
