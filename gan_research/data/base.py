"""`Data`, the base of all real samples and a LightningDataModule; `ImageData`, the base of images."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypedDict

import pytorch_lightning as pl
import torch
from pydantic import PositiveInt
from torch import Tensor

from gan_research.data.labels import describe_classes
from gan_research.data.layout import RoundLayout
from gan_research.data.loading import ONE_RANK, Batch, ImageRounds, Rounds
from gan_research.data.sets import ImageSet, SampleSet
from gan_research.utils.errors import UserError, require, require_positive
from gan_research.utils.images import to_float
from gan_research.utils.memory import require_memory
from gan_research.utils.rng import generator_for
from gan_research.utils.sample_spec import SampleSpec


class Data(pl.LightningDataModule):
    """Base of all data: images `channels` x `resolution` x `resolution`, or points of `channels` numbers.

    A subclass defines `name`, `resolution`, `channels`, `num_classes` (0: no labels), `value_range`, `load` and
    `make_rounds`. `batch_size` counts real samples per discriminator update, over all ranks.
    """

    name: str
    resolution: int | None
    channels: int
    num_classes: int = 0
    classes: Sequence[Any] = ()  # the label of each class in the files, if it may be another than the class
    value_range: tuple[float, float]
    metrics: ClassVar[str]  # the choice of the config group `metrics` that suits these samples

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        require(1, batch_size=batch_size)
        self.batch_size, self.seed = batch_size, seed
        self.layout = RoundLayout()  # the place of this rank in a round; set by `GAN.setup`
        self.completed_rounds: Callable[[], int] = lambda: 0
        """Returns the round from which training continues; set by `GAN.setup`."""
        self._sets: tuple[SampleSet, SampleSet | None] | None = None

    @abstractmethod
    def load(self, download: bool) -> tuple[SampleSet, SampleSet | None]:
        """Return the training set and the held-out one, or None. `download`: missing files may be downloaded."""

    @abstractmethod
    def make_rounds(self, *args: Any) -> Rounds:
        """Return the rounds of one rank; `args` are the arguments of `Rounds`."""

    def prepare_data(self) -> None:
        """Download missing files, once a node."""
        self._load(download=True)

    def setup(self, stage: str | None = None) -> None:
        """Load the sets, in every process. Without a Trainer, missing files are downloaded too."""
        self._load(download=self.trainer is None)

    def _load(self, download: bool) -> tuple[SampleSet, SampleSet | None]:
        if self._sets is None:
            self._sets = self.load(download)
        return self._sets

    @property
    def train(self) -> SampleSet:
        """The samples to train on."""
        return self._load(download=self.trainer is None)[0]

    @property
    def heldout(self) -> SampleSet | None:
        """Real samples that are never trained on."""
        return self._load(download=self.trainer is None)[1]

    @property
    def sample_spec(self) -> SampleSpec:
        """The shape, classes and value range of samples, for networks."""
        return SampleSpec(self.resolution, self.channels, self.num_classes, self.value_range)

    def rounds(
        self, minibatches: int = 1, start: int = 0, rank: int = 0, world_size: int = 1, accumulation: int = 1
    ) -> Rounds:
        """Return the endless rounds of one rank, from round `start` on; samples are as stored."""
        layout = RoundLayout(minibatches, accumulation, rank, world_size)
        return self.make_rounds(self.seed, self.batch_size, layout, start)

    def train_dataloader(self) -> Rounds:
        """Return this rank's rounds, which continue after the completed ones at each iteration."""
        trainer = self.trainer
        assert trainer is not None, "train_dataloader needs a Trainer: use rounds() without one"
        device = trainer.strategy.root_device
        return self.make_rounds(self.seed, self.batch_size, self.layout, self.completed_rounds, device)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Copy the batch to the device, unless it is there."""
        labels = None if batch.labels is None else batch.labels.to(device, non_blocking=True)
        return Batch(batch.images.to(device, non_blocking=True), labels, batch.round)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        return self.ready(batch, self.layout)

    def ready(self, batch: Batch, layout: RoundLayout = ONE_RANK) -> Batch:
        """Return the batch of the rank in `layout` as the networks see it."""
        return Batch(self.to_float(batch.images), batch.labels, batch.round)

    def to_float(self, samples: Tensor) -> Tensor:
        """Convert samples as they are stored to float32, as the networks see them."""
        return samples

    def mean(self) -> Tensor:
        """Return the mean of the training samples as the networks see them: float32, of `sample_spec.shape`."""
        total = sum(self.to_float(samples).sum(0, dtype=torch.float64) for samples, _ in self.train.batches(1000))
        return (torch.as_tensor(total) / len(self.train)).float()

    def summary(self) -> str:
        """Return a line on the samples: their number, shape, classes and files."""
        shape = " x ".join(map(str, self.sample_spec.shape))
        parts = [f"{self.name}: {len(self.train):,} samples of {shape}"]
        parts += [f"{len(self.heldout):,} held out"] if self.heldout is not None else []
        parts += [describe_classes(self.classes or range(self.num_classes))] if self.num_classes else []
        return "; ".join([*parts, *filter(None, [self.train.files])])

    def describe(self) -> dict[str, Any]:
        """Return plain values that describe the set, for the record of a run."""
        return {
            "name": self.name,
            "shape": list(self.sample_spec.shape),
            "train": len(self.train),
            "heldout": 0 if self.heldout is None else len(self.heldout),
            "num_classes": self.num_classes,
        }


class ImageOptions(TypedDict, total=False):
    """The arguments that every image set takes, with the defaults of `ImageData`."""

    batch_size: int
    seed: int
    flip: bool | None
    value_range: tuple[float, float]
    dequantise: bool
    train_size: int | None


class ImageData(Data):
    """Base of all image sets: square images, uint8 as stored.

    flip: mirror each training image left to right with probability 1/2 (None: the set's own default, `flips`).
    dequantise: add U[0, 1) times 1/256 of the range to each training value, 255/256 of the step between two levels.
    train_size: train on so many of the training images (None: all): on the first ones of a set that is stored in random
        order, otherwise on evenly spaced ones.
    """

    resolution: int
    in_random_order: ClassVar[bool] = False
    flips: ClassVar[bool] = False
    metrics: ClassVar[str] = "inception"
    num_workers: int = 0
    resident: bool | None = True
    resident_limit_gib: float = 2.0

    def __init__(
        self,
        batch_size: int = 64,
        seed: int = 0,
        flip: bool | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
        dequantise: bool = False,
        train_size: PositiveInt | None = None,
    ) -> None:
        low, high = (float(v) for v in value_range)
        if not low < high:
            raise UserError(f"data.value_range=[{low}, {high}] is empty: give the lower end first, as in [-1, 1]")
        require_positive(**{"the width of data.value_range": high - low})
        super().__init__(batch_size, seed)
        self.flip = self.flips if flip is None else flip
        self.value_range, self.dequantise, self.train_size = (low, high), dequantise, train_size

    def _load(self, download: bool) -> tuple[SampleSet, SampleSet | None]:
        size = self.resolution
        require(1, **{"data.resolution": size})
        require_memory(f"a minibatch of data.resolution={size}", 4, self.batch_size, self.channels, size, size)
        loaded = self._sets is not None
        train, heldout = super()._load(download)
        if self.train_size is not None and not loaded:
            assert isinstance(train, ImageSet)
            train = train.subset(self._training_images(len(train), self.train_size))
            self._sets = train, heldout
        if self.batch_size > len(train):
            raise UserError(
                f"batch_size={self.batch_size} is more than the {len(train)} training images of {self.name}: "
                f"set batch_size to {len(train)} or less"
            )
        return train, heldout

    def _training_images(self, count: int, size: int) -> Tensor:
        """Return the indices (size,) of the `train_size` images among `count`."""
        if not 1 <= size <= count:
            raise UserError(
                f"data.train_size={size}: {self.name} has {count} images: give 1 to {count}, or null for all"
            )
        return torch.arange(size) if self.in_random_order else torch.arange(size) * count // size

    def is_resident(self, size: int) -> bool:
        """Return `resident`, or if it is None, whether `size` bytes are within `resident_limit_gib`."""
        return size <= self.resident_limit_gib * 2**30 if self.resident is None else self.resident

    def make_rounds(self, *args: Any) -> Rounds:
        return ImageRounds(self.train, *args, num_workers=self.num_workers)

    def ready(self, batch: Batch, layout: RoundLayout = ONE_RANK) -> Batch:
        """Return the batch as the networks see it; flips and noise don't depend on the number of ranks."""
        images = batch.images
        total = len(images) * layout.world_size
        if self.flip:
            generator = generator_for(self.seed, "flip", batch.round)
            mask = layout.shard(torch.randint(0, 2, (total,), generator=generator, dtype=torch.bool))
            mask = (mask.pin_memory() if images.is_cuda else mask).to(images.device, non_blocking=True)
            images = torch.where(mask[:, None, None, None], images.flip(-1), images)
        ready = super().ready(batch._replace(images=images))
        if self.dequantise:
            low, high = self.value_range
            generator = generator_for(self.seed, "dequantise", batch.round, images.device)
            noise = torch.rand(total, *images.shape[1:], generator=generator, device=images.device)
            ready.images.add_(layout.shard(noise), alpha=(high - low) / 256)
        return ready

    def to_float(self, samples: Tensor) -> Tensor:
        return to_float(samples, self.value_range)

    def describe(self) -> dict[str, Any]:
        options = {"value_range": list(self.value_range), "flip": self.flip, "dequantise": self.dequantise}
        return super().describe() | options
