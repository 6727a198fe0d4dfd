"""`ImageData`: what every set of images is to the rest of the program, and to Lightning."""

from abc import abstractmethod
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_research.data.loading import Batch, Rounds
from gan_research.data.order import rank_block
from gan_research.data.sets import ImageSet
from gan_research.errors import UserError
from gan_research.pixels import to_float
from gan_research.streams import stream

__all__ = ["Batch", "ImageData"]


class ImageData(pl.LightningDataModule):
    """Base of all image sets: square images, `channels` x `resolution` x `resolution`.

    A subclass gives `name`, `resolution`, `channels`, `num_classes` (0: no labels) and `load`.
    `batch_size` counts real images per discriminator update, over all ranks.
    """

    name: str
    resolution: int
    channels: int
    num_classes: int = 0
    num_workers: int = 0
    metrics: ClassVar[str] = "inception"
    """The choice of the config group `metrics` that suits these pictures."""

    def __init__(
        self,
        batch_size: int = 64,
        seed: int = 0,
        flip: bool = False,
        value_range: tuple[float, float] = (-1.0, 1.0),
    ) -> None:
        super().__init__()
        low, high = (float(v) for v in value_range)
        if not low < high:
            raise UserError(f"data.value_range=[{low}, {high}] is empty: give the lower end first, as in [-1, 1]")
        if batch_size < 1:
            raise UserError(f"batch_size={batch_size} must be at least 1")
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        self.value_range = (low, high)
        self._sets: tuple[ImageSet, ImageSet | None] | None = None

    @abstractmethod
    def load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        """The training pictures, and those that training never sees; with `download` missing files may be fetched."""

    def prepare_data(self) -> None:
        """Once a node: fetch what is missing. What was loaded on the way is kept."""
        self._load(download=True)

    def setup(self, stage: str | None = None) -> None:
        """In every process: load the set. Alone, without a Trainer that prepares first, it prepares too."""
        self._load(download=self.trainer is None)

    def _load(self, download: bool) -> tuple[ImageSet, ImageSet | None]:
        if self._sets is None:
            train, heldout = self.load(download)
            if self.batch_size > len(train):
                raise UserError(
                    f"batch_size={self.batch_size} is more than the {len(train)} training pictures of {self.name}: "
                    f"set batch_size to {len(train)} or less"
                )
            self._sets = train, heldout
        return self._sets

    @property
    def train(self) -> ImageSet:
        """The pictures to train on."""
        return self._load(download=self.trainer is None)[0]

    @property
    def heldout(self) -> ImageSet | None:
        """Real pictures that training never sees."""
        return self._load(download=self.trainer is None)[1]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.resolution, self.resolution

    def rounds(
        self,
        discriminator_steps: int = 1,
        start: int = 0,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | str = "cpu",
    ) -> Rounds:
        """The endless rounds of real minibatches of one rank, uint8, from round `start` on."""
        return Rounds(
            self.train,
            self.seed,
            self.batch_size,
            discriminator_steps=discriminator_steps,
            start=start,
            rank=rank,
            world_size=world_size,
            device=device,
            num_workers=self.num_workers,
        )

    def train_dataloader(self) -> Rounds:
        """The rounds of this process, from the round at which the module stands whenever an iteration begins."""
        trainer = self.trainer
        assert trainer is not None, "train_dataloader belongs to a Trainer: use rounds() without one"
        gan: Any = trainer.lightning_module
        rounds = self.rounds(
            discriminator_steps=gan.schedule.discriminator_steps,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            device=trainer.strategy.root_device,
        )
        rounds.start = lambda: int(gan.round)
        return rounds

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Plain copies, where the batch is not on the device yet."""
        labels = None if batch.labels is None else batch.labels.to(device, non_blocking=True)
        return Batch(batch.images.to(device, non_blocking=True), labels, batch.round)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """uint8 -> float32 in the value range, with random horizontal flips."""
        trainer = self.trainer
        if trainer is None or not self.flip:
            return self.ready(batch)
        return self.ready(batch, trainer.global_rank, trainer.world_size)

    def ready(self, batch: Batch, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch as the players see it. Flips are drawn for the whole round, so they do not depend on the ranks."""
        images = batch.images
        if self.flip:
            mask = self._flips(batch.round, len(images) * world_size, rank, world_size, images.device)
            images = torch.where(mask[:, None, None, None], images.flip(-1), images)
        return Batch(self.to_float(images), batch.labels, batch.round)

    def _flips(self, round: int, total: int, rank: int, world_size: int, device: torch.device) -> Tensor:
        generator = stream(self.seed, "flip", round)
        mask = torch.randint(0, 2, (total,), generator=generator, dtype=torch.bool)
        mask = rank_block(mask, total // self.batch_size, rank, world_size)
        return (mask.pin_memory() if device.type == "cuda" else mask).to(device, non_blocking=True)

    def to_float(self, images: Tensor) -> Tensor:
        """uint8 levels -> float32 in the set's value range."""
        return to_float(images, self.value_range)

    def describe(self) -> dict[str, Any]:
        """The set in plain values, for the record of a run."""
        return {
            "name": self.name,
            "shape": list(self.image_shape),
            "train": len(self.train),
            "heldout": 0 if self.heldout is None else len(self.heldout),
            "num_classes": self.num_classes,
            "value_range": list(self.value_range),
            "flip": self.flip,
        }
