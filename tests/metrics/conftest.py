"""Samples made by hand, as an evaluation wants them."""

import pytest
from torch import Tensor

from gan_research.metrics import Evaluation


class Samples:
    """Real samples, or those of a generator that draws just these."""

    def __init__(self, samples: Tensor) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def batches(self, batch_size: int):
        return ((part, None) for part in self.samples.split(batch_size))

    def content_hash(self) -> str:
        return f"hash of {len(self)}"

    def sample(self, start: int, stop: int) -> Tensor:
        return self.samples[start:stop]


@pytest.fixture(scope="session")
def as_set():
    """as_set(tensor): a set of these samples."""
    return Samples


@pytest.fixture(scope="session")
def score():
    """score(EXTRACTOR, [METRIC, ...], FAKE, real=..., heldout=...) -> the columns."""

    def measure(extractor, metrics, fake, real=None, heldout=None, **arguments):
        evaluation = Evaluation(extractor, metrics, num_samples=len(fake), **arguments)
        heldout = None if heldout is None else Samples(heldout)
        evaluation.prepare(Samples(fake if real is None else real), heldout=heldout)
        return evaluation(Samples(fake).sample)

    return measure
