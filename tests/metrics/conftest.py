"""Samples made by hand, as an evaluation wants them, and an extractor whose features are known exactly."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from gan_research.metrics import Classifier, Evaluation, Extractor, Features
from gan_research.metrics.samples import drawn_indices


class Samples:
    """Real samples, or those of a generator that draws just these."""

    def __init__(self, samples: Tensor, labels: Tensor | None = None) -> None:
        self.samples, self._labels = samples, labels

    def __len__(self) -> int:
        return len(self.samples)

    def read(self, start: int, stop: int) -> tuple[Tensor, Tensor | None]:
        return self.gather(range(start, stop))

    def gather(self, indices) -> tuple[Tensor, Tensor | None]:
        places = torch.as_tensor(list(indices), dtype=torch.int64)
        return self.samples[places], None if self._labels is None else self._labels[places]

    def content_hash(self) -> str:
        return f"{len(self)} samples, of sum {self.samples.double().sum().item()}"


class Pixels(Extractor):
    """Features and logits are the first and the last pixels / 64: what a metric is given is known exactly."""

    name = "pixels"

    def __init__(self, num_features: int, num_classes: int = 0) -> None:
        super().__init__()
        self.num_features, self.num_classes = num_features, num_classes
        self.passes: list[int] = []
        self.freeze()

    def extract(self, samples: Tensor) -> Features:
        self.passes.append(len(samples))
        values = samples.flatten(1).float() / 64
        return Features(values[:, : self.num_features], values[:, -self.num_classes :] if self.num_classes else None)


@pytest.fixture(scope="session")
def digits():
    """scikit-learn's 1,797 images uint8 (N, 1, 8, 8), and their labels."""
    data = load_digits()
    images = (torch.from_numpy(data.images) * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    return images, torch.from_numpy(data.target)


@pytest.fixture(scope="session")
def classifier():
    """That of these digits."""
    return Classifier("digits")


@pytest.fixture(scope="session")
def as_set():
    """as_set(tensor, labels=None): a set of these samples."""
    return Samples


@pytest.fixture(scope="session")
def pixels():
    """pixels(num_features, num_classes=0): an extractor; `passes` lists the sizes of the batches that it saw."""
    return Pixels


@pytest.fixture(scope="session")
def random_images():
    """random_images(seed, count, pixels, low=0, high=256): uint8 (count, 1, 1, pixels)."""

    def draw(seed: int, count: int, pixels: int, low: int = 0, high: int = 256) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(low, high, (count, 1, 1, pixels), dtype=torch.uint8, generator=generator)

    return draw


@pytest.fixture(scope="session")
def score():
    """score(EXTRACTOR, [METRIC, ...], FAKE, real=..., heldout=...) -> the columns.

    in_order: the reals lie so that a metric that draws some at random draws the first, in the order given.
    """

    def measure(extractor, metrics, fake, real=None, heldout=None, in_order=False, **arguments):
        evaluation = Evaluation(extractor, metrics, num_samples=len(fake), cache=False, **arguments)
        heldout = None if heldout is None else Samples(heldout)
        real = fake if real is None else real
        if in_order:
            places = drawn_indices(len(real), len(real))
            real = torch.empty_like(real).index_copy(0, places, real)
        evaluation.prepare(Samples(real), heldout=heldout)
        return evaluation(Samples(fake))

    return measure
