"""The endless rounds of real minibatches; images are indexed in memory, or decoded ahead by processes."""

import signal
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gan_research.data.layout import RoundLayout
from gan_research.data.order import Order
from gan_research.data.sets import Read, SampleSet, StoredSet, TensorSet
from gan_research.utils.errors import UserError

ONE_RANK = RoundLayout()


class Batch(NamedTuple):
    """The real minibatches of one round: those of its k discriminator updates, one after the other."""

    images: Tensor
    """Images (k*b, C, H, W): uint8 from the loader, float32 as the networks see them; or points, float32 (k*b, dim)."""
    labels: Tensor | None  # int64 (k*b,), or None if the set has no labels
    round: int


class Rounds(Iterable[Batch]):
    """The endless rounds of one rank, from round `start` on.

    `start` may be a function, called whenever an iteration begins. A subclass implements `iterate`.
    """

    def __init__(
        self,
        seed: int,
        batch_size: int,
        layout: RoundLayout = ONE_RANK,
        start: int | Callable[[], int] = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        layout.check(batch_size)
        self.seed, self.batch_size, self.layout, self.start = seed, batch_size, layout, start
        self.device = torch.device(device)

    def __iter__(self) -> Iterator[Batch]:
        return self.iterate(self.start() if callable(self.start) else self.start)

    @abstractmethod
    def iterate(self, start: int) -> Iterator[Batch]:
        """Yield the rank's rounds from `start` on."""


class ImageRounds(Rounds):
    """The rounds of a set of images in its endless random order.

    The minibatch with number u = round * k + i, of k in a round, has the positions [u*B, (u+1)*B) of that order.
    """

    def __init__(self, images: SampleSet, *args: Any, num_workers: int = 0, **options: Any) -> None:
        super().__init__(*args, **options)
        self.images, self.num_workers = images, num_workers

    def iterate(self, start: int) -> Iterator[Batch]:
        if isinstance(self.images, StoredSet):
            return self._decoded(self.images, start)
        if isinstance(self.images, TensorSet) and self.images.on_device:
            return self._indexed(self.images, start)
        return self._gathered(start)

    def indices(self, start: int, device: torch.device) -> Iterator[Tensor]:
        """Yield the indices of this rank's samples for each round."""
        order = Order(len(self.images), self.seed, device)
        size = self.layout.minibatches * self.batch_size
        for round in count(start):
            yield self.layout.shard(order.indices(round * size, (round + 1) * size))

    def _indexed(self, images: TensorSet, start: int) -> Iterator[Batch]:
        pixels, labels = images.on(self.device)
        for round, indices in enumerate(self.indices(start, self.device), start):
            classes = None if labels is None else labels.index_select(0, indices)
            yield Batch(pixels.index_select(0, indices), classes, round)

    def _gathered(self, start: int) -> Iterator[Batch]:
        pin = self.device.type == "cuda"
        for round, indices in enumerate(self.indices(start, torch.device("cpu")), start):
            pixels, labels = self.images.gather(indices)
            yield Batch(pixels.pin_memory() if pin else pixels, labels, round)

    def _decoded(self, images: StoredSet, start: int) -> Iterator[Batch]:
        loader: DataLoader = DataLoader(
            _RoundReader(images),
            batch_size=None,
            sampler=(indices.tolist() for indices in self.indices(start, torch.device("cpu"))),
            num_workers=self.num_workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_ignore_signals,
        )
        for round, read in enumerate(loader, start):
            if isinstance(read, str):
                raise UserError(read)
            pixels, labels = read
            yield Batch(pixels, labels, round)


class _RoundReader(Dataset):
    """Reads a round at once. Returns the text of a UserError: raised in a worker, it would become a traceback."""

    def __init__(self, images: StoredSet) -> None:
        self.images = images

    def __getitem__(self, indices: list[int]) -> Read | str:
        try:
            return self.images.gather(indices)
        except UserError as error:
            return str(error)


def _ignore_signals(worker: int) -> None:
    """Ignore signals that stop a run: the main process handles them, and ends its workers."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
