"""A table of samples during training."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_research.callbacks.base import Periodic
from gan_research.data import Data
from gan_research.metrics.neighbours import distances
from gan_research.training.gan import GAN
from gan_research.utils.images import to_uint8

REALS = 10_000  # the number of training images among which the nearest one is searched, at most
BYTES = 2**26  # the size of those images, at most
BLOCK = 2**22  # the number of values that are compared at once


class SampleTable(Periodic):
    """Logs a table of the grid's first images every `every` rounds.

    It goes to loggers with `sample_rows`, the number of its rows, and `log_samples`. A row is an image, its class, D's
    logit, and the nearest of the first `REALS` training images (`BYTES` at most) with its class and distance.
    """

    def __init__(self, every: int):
        super().__init__(every)
        self._reals: Tensor | None = None

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        loggers: list[Any] = [logger for logger in trainer.loggers if getattr(logger, "sample_rows", 0)]
        if not loggers or gan.generator.resolution is None:
            return
        multiple = gan.discriminator.batch_multiple
        count = -(-max(logger.sample_rows for logger in loggers) // multiple) * multiple
        sampler = gan.sampler()
        samples, labels = sampler.sample(count, seed=gan.seed), sampler.labels(count)
        logits = gan.objective.forward.probe(samples, None if labels is None else labels.to(samples.device))
        if trainer.is_global_zero:
            images = to_uint8(samples if samples.is_cuda else samples.cpu(), sampler.value_range)  # MPS has no float64
            table = self._table(trainer.datamodule, images, labels, logits)  # type: ignore[attr-defined]
            for logger in loggers:
                rows = {name: column[: logger.sample_rows] for name, column in table.items()}
                logger.log_samples(rows, gan.round)

    def _table(self, data: Data, images: Tensor, labels: Tensor | None, logits: Tensor) -> dict[str, Any]:
        """Return the columns by name; images are uint8 (N, C, H, W)."""
        if self._reals is None:
            one = images[0].numel()
            self._reals = data.train.take(min(REALS, max(1, BYTES // one))).to(images.device)
        found, apart = (each.cpu() for each in nearest(images, self._reals))

        def classes(numbers: Tensor) -> list[Any]:
            return [data.classes[i] if i < len(data.classes) else i for i in numbers.tolist()]

        table = {"sample": images.cpu(), "logit of D": logits.repeat_interleave(len(images) // len(logits)).tolist()}
        if labels is not None:
            table["class"] = classes(labels)
        table |= {"nearest real": self._reals[found].cpu(), "distance": apart.tolist()}
        if data.train.labels is not None:
            table["class of the nearest"] = classes(data.train.labels[found])
        return table


def nearest(images: Tensor, reals: Tensor) -> tuple[Tensor, Tensor]:
    """Return the index (N,) of the real image nearest to each image, and the distance.

    The distance of uint8 (N, C, H, W) and (M, C, H, W) is the root of the mean squared difference, in levels.
    """
    flat = images.flatten(1).float()
    blocks = reals.flatten(1).split(max(1, BLOCK // flat.shape[1]))
    all_distances = torch.cat([distances(flat, block.float()) for block in blocks], 1)
    least, found = all_distances.min(1)
    return found, least / flat.shape[1] ** 0.5
