"""`Data` is what all real samples are to the rest of the program, and to Lightning; `ImageData` is all pictures."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypedDict

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_research.data.layout import RoundLayout
from gan_research.data.loading import ALONE, Batch, ImageRounds, Rounds
from gan_research.data.sets import SampleSet
from gan_research.utils.errors import UserError
from gan_research.utils.images import to_float
from gan_research.utils.rng import generator_for
from gan_research.utils.sample_spec import SampleSpec

__all__ = ["Batch", "Data", "ImageData"]


class Data(pl.LightningDataModule):
    """Base of all data: samples of one shape, `channels` x `resolution` x `resolution`, or `channels` without one.

    A subclass gives `name`, `resolution`, `channels`, `num_classes` (0: no labels), `value_range`, `load` and
    `make_rounds`. `batch_size` counts real samples per discriminator update, over all ranks.
    """

    name: str
    resolution: int | None
    channels: int
    num_classes: int = 0
    value_range: tuple[float, float]
    metrics: ClassVar[str]
    """The choice of the config group `metrics` that suits these samples."""

    def __init__(self, batch_size: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size} must be at least 1")
        self.batch_size, self.seed = batch_size, seed
        self.layout = RoundLayout()
        """The place of this rank in a round; the game sets it before training."""
        self.completed_rounds: Callable[[], int] = lambda: 0
        """Returns the round from which training continues; the game sets it."""
        self._sets: tuple[SampleSet, SampleSet | None] | None = None

    @classmethod
    def suited_metrics(cls, node: dict[str, Any]) -> str:
        """The choice of the config group `metrics` that suits the data which the config `node` describes."""
        return cls.metrics

    @abstractmethod
    def load(self, download: bool) -> tuple[SampleSet, SampleSet | None]:
        """The training samples, and those that training never sees; with `download` missing files may be fetched."""

    @abstractmethod
    def make_rounds(self, **share: Any) -> Rounds:
        """The rounds of one rank: `share` is the arguments of `Rounds`."""

    def prepare_data(self) -> None:
        """Once a node: fetch what is missing. What was loaded on the way is kept."""
        self._load(download=True)

    def setup(self, stage: str | None = None) -> None:
        """In every process: load the set. Alone, without a Trainer that prepares first, it prepares too."""
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
        """Real samples that training never sees."""
        return self._load(download=self.trainer is None)[1]

    @property
    def sample_spec(self) -> SampleSpec:
        """The shape, classes and value range of samples, for networks."""
        return SampleSpec(self.resolution, self.channels, self.num_classes, self.value_range)

    def rounds(
        self,
        discriminator_steps: int = 1,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
        accumulation: int = 1,
    ) -> Rounds:
        """The endless rounds of real minibatches of one rank, as they are stored, from round `start` on."""
        layout = RoundLayout(discriminator_steps, accumulation, rank, world_size)
        return self.make_rounds(seed=self.seed, batch_size=self.batch_size, layout=layout, start=start, device=device)

    def train_dataloader(self) -> Rounds:
        """Return this rank's rounds, from the completed ones on whenever an iteration begins."""
        trainer = self.trainer
        assert trainer is not None, "train_dataloader belongs to a Trainer: use rounds() without one"
        return self.make_rounds(
            seed=self.seed,
            batch_size=self.batch_size,
            layout=self.layout,
            start=self.completed_rounds,
            device=trainer.strategy.root_device,
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Plain copies, where the batch is not on the device yet."""
        labels = None if batch.labels is None else batch.labels.to(device, non_blocking=True)
        return Batch(batch.images.to(device, non_blocking=True), labels, batch.round)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Return the batch as the networks see it."""
        return self.ready(batch, self.layout)

    def ready(self, batch: Batch, layout: RoundLayout = ALONE) -> Batch:
        """Return the batch of a rank as the networks see it."""
        return Batch(self.to_float(batch.images), batch.labels, batch.round)

    def to_float(self, samples: Tensor) -> Tensor:
        """Samples as they are stored -> as the players see them, float32."""
        return samples

    def mean(self) -> Tensor:
        """The mean of the training samples, as the players see them: float32, of `sample_spec.shape`."""
        total = sum(self.to_float(samples).sum(0, dtype=torch.float64) for samples, _ in self.train.batches(1000))
        return (torch.as_tensor(total) / len(self.train)).float()

    def describe(self) -> dict[str, Any]:
        """The set in plain values, for the record of a run."""
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


class ImageData(Data):
    """Base of all image sets: square images, uint8 as stored.

    flip: training sees each image flipped left to right with probability 1/2; None: where that suits the set, `flips`.
    dequantise: training sees each value plus U[0, 1) times 1/256 of the range, 255/256 of the step between two levels.
    """

    resolution: int
    flips: ClassVar[bool] = False
    metrics: ClassVar[str] = "inception"
    num_workers: int = 0

    def __init__(
        self,
        batch_size: int = 64,
        seed: int = 0,
        flip: bool | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
        dequantise: bool = False,
    ) -> None:
        low, high = (float(v) for v in value_range)
        if not low < high:
            raise UserError(f"data.value_range=[{low}, {high}] is empty: give the lower end first, as in [-1, 1]")
        super().__init__(batch_size, seed)
        self.flip = self.flips if flip is None else flip
        self.value_range, self.dequantise = (low, high), dequantise

    def _load(self, download: bool) -> tuple[SampleSet, SampleSet | None]:
        train, heldout = super()._load(download)
        if self.batch_size > len(train):
            raise UserError(
                f"batch_size={self.batch_size} is more than the {len(train)} training pictures of {self.name}: "
                f"set batch_size to {len(train)} or less"
            )
        return train, heldout

    def make_rounds(self, **share: Any) -> Rounds:
        return ImageRounds(self.train, num_workers=self.num_workers, **share)

    def ready(self, batch: Batch, layout: RoundLayout = ALONE) -> Batch:
        """Return the batch as the networks see it; what is drawn is for the whole round, whatever the ranks."""
        images = batch.images
        total = len(images) * layout.world_size
        if self.flip:
            mask = layout.own(self._flips(batch.round, total))
            mask = (mask.pin_memory() if images.is_cuda else mask).to(images.device, non_blocking=True)
            images = torch.where(mask[:, None, None, None], images.flip(-1), images)
        ready = super().ready(batch._replace(images=images))
        if self.dequantise:
            low, high = self.value_range
            ready.images.add_(layout.own(self._noise(batch.round, total, images)), alpha=(high - low) / 256)
        return ready

    def _noise(self, round: int, total: int, images: Tensor) -> Tensor:
        """What a round's pictures are dequantised with: float32 U[0, 1) (total, C, H, W), drawn on their device."""
        generator = generator_for(self.seed, "dequantise", round, images.device)
        return torch.rand(total, *images.shape[1:], generator=generator, device=images.device)

    def _flips(self, round: int, total: int) -> Tensor:
        """Which of a round's pictures are flipped: bool (total,)."""
        return torch.randint(0, 2, (total,), generator=generator_for(self.seed, "flip", round), dtype=torch.bool)

    def to_float(self, samples: Tensor) -> Tensor:
        """uint8 levels -> float32 in the set's value range."""
        return to_float(samples, self.value_range)

    def describe(self) -> dict[str, Any]:
        own = {"value_range": list(self.value_range), "flip": self.flip, "dequantise": self.dequantise}
        return super().describe() | own
