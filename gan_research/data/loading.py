"""The endless rounds of real minibatches; those of pictures gathered on the device, or read ahead by processes."""

import signal
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from gan_research.data.layout import RoundLayout
from gan_research.data.order import Order
from gan_research.data.sets import FileSet, Read, SampleSet, TensorSet
from gan_research.utils.errors import UserError

ALONE = RoundLayout()


class Batch(NamedTuple):
    """The real minibatches of one round: those of its k discriminator updates, one after the other."""

    images: Tensor  # from the loader: uint8 (k*b, C, H, W); ready for training: float32 in the set's value range;
    # or points, float32 (k*b, dim) from the start
    labels: Tensor | None  # int64 (k*b,), None where the set has no labels
    round: int


class Rounds(Iterable[Batch]):
    """The endless rounds of one rank, from round `start` on.

    `start` may be a function: it is asked whenever an iteration begins. A subclass implements `play`.
    """

    def __init__(
        self,
        seed: int,
        batch_size: int,
        layout: RoundLayout = ALONE,
        start: int | Callable[[], int] = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        layout.check(batch_size)
        self.seed, self.batch_size, self.layout, self.start = seed, batch_size, layout, start
        self.device = torch.device(device)

    def __iter__(self) -> Iterator[Batch]:
        return self.play(self.start() if callable(self.start) else self.start)

    @abstractmethod
    def play(self, start: int) -> Iterator[Batch]:
        """The rank's rounds from `start` on."""


class ImageRounds(Rounds):
    """The minibatch of update u = round * k + i is the positions [u*B, (u+1)*B) of the endless order of `images`."""

    def __init__(self, images: SampleSet, *share: Any, num_workers: int = 0, **more: Any) -> None:
        super().__init__(*share, **more)
        self.images, self.num_workers = images, num_workers

    def play(self, start: int) -> Iterator[Batch]:
        if isinstance(self.images, TensorSet):
            return self._gathered(self.images, start)
        assert isinstance(self.images, FileSet)
        return self._decoded(self.images, start)

    def indices(self, start: int, device: torch.device) -> Iterator[Tensor]:
        """The samples of this rank, round by round."""
        order = Order(len(self.images), self.seed, device)
        size = self.layout.discriminator_steps * self.batch_size
        for round in count(start):
            yield self.layout.own(order.indices(round * size, (round + 1) * size))

    def _gathered(self, images: TensorSet, start: int) -> Iterator[Batch]:
        device = self.device if images.on_device else torch.device("cpu")
        pixels, labels = images.on(device)
        pin = device != self.device and self.device.type == "cuda"
        for round, indices in enumerate(self.indices(start, device), start):
            chosen = pixels.index_select(0, indices)
            classes = None if labels is None else labels.index_select(0, indices)
            yield Batch(chosen.pin_memory() if pin else chosen, classes, round)

    def _decoded(self, images: FileSet, start: int) -> Iterator[Batch]:
        loader: DataLoader = DataLoader(
            _RoundReader(images),
            batch_sampler=_RoundSampler(self, start),
            num_workers=self.num_workers,
            collate_fn=_as_it_is,
            pin_memory=self.device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            worker_init_fn=_ignore_interrupts,
        )
        for round, read in enumerate(loader, start):
            if isinstance(read, str):
                raise UserError(read)
            pixels, labels = read
            yield Batch(pixels, labels, round)


class _RoundSampler(Sampler[list[int]]):
    """One round's samples after the other, as lists."""

    def __init__(self, rounds: ImageRounds, start: int) -> None:
        self.rounds, self.start = rounds, start

    def __iter__(self) -> Iterator[list[int]]:
        for indices in self.rounds.indices(self.start, torch.device("cpu")):
            yield indices.tolist()


class _RoundReader(Dataset):
    """Reads a round at once. What the user must mend comes back as text: an exception would arrive as a traceback."""

    def __init__(self, images: FileSet) -> None:
        self.images = images

    def __getitems__(self, indices: list[int]) -> Read | str:
        try:
            return self.images.gather(indices)
        except UserError as error:
            return str(error)


def _as_it_is(read: Any) -> Any:
    return read


def _ignore_interrupts(worker: int) -> None:
    """Being asked to stop, by Ctrl-C or a scheduler, is the main process's business: it ends its workers itself."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
