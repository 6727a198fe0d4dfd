"""Samples of the same latents during training, and real samples."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from gan_research.callbacks.base import Periodic, log_picture
from gan_research.data import Data, SampleSet
from gan_research.metrics.samples import drawn_indices
from gan_research.training.gan import GAN
from gan_research.utils.files import write_atomically
from gan_research.utils.images import grid, png
from gan_research.utils.run_folder import CODES, REAL, of_round

POINTS = 2000  # number of samples in a plot of points


class SampleGrid(Periodic):
    """Writes a PNG of samples of fixed latents every `every` rounds, and logs it; one of real samples at the start.

    It shows `count` images in a grid, or `POINTS` points over their density. If the generator is class-conditional,
    images at the same place of both grids have the same class. If the prior has codes, a second PNG shows samples in
    which each code takes its values.
    """

    folder: Path

    def __init__(self, folder: Path, every: int, count: int = 64):
        super().__init__(every)
        self.folder, self.count = folder, count

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        images = {"samples": self._png(trainer, gan)}
        if hasattr(gan.prior, "codes"):
            from gan_research.sampling.code_figure import codes_png  # plots take time to import

            images["codes"] = codes_png(gan.sampler(), gan.seed)
        if trainer.is_global_zero:
            for name, image in images.items():
                path = self.folder / f"{CODES if name == 'codes' else ''}{of_round(gan.round, '.png')}"
                write_atomically(path, image)
                log_picture(trainer.loggers, name, path, gan.round)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        assert isinstance(pl_module, GAN)
        data, path = trainer.datamodule, self.folder / REAL  # type: ignore[attr-defined]
        if trainer.is_global_zero and isinstance(data, Data) and not path.exists():
            count = self.count if pl_module.generator.resolution is not None else POINTS
            indices = drawn_by_class(data.train, count, pl_module.generator.num_classes)
            write_atomically(path, image_of(data.train.gather(indices.tolist())[0], pl_module, data))
            log_picture(trainer.loggers, "real", path, pl_module.round)

    def _png(self, trainer: pl.Trainer, gan: GAN) -> bytes:
        sampler, images = gan.sampler(), gan.generator.resolution is not None
        samples = (sampler.sample_uint8 if images else sampler.sample)(self.count if images else POINTS, seed=gan.seed)
        return image_of(samples, gan, trainer.datamodule)  # type: ignore[attr-defined]


def image_of(samples: Tensor, gan: GAN, data: Any) -> bytes:
    """Return a PNG of uint8 images in a grid, or of points over their density."""
    if gan.generator.resolution is not None:
        return png(grid(samples))
    from gan_research.data.density_plots import points_png  # plots take time to import

    return points_png(samples, getattr(data, "density", None))


def drawn_by_class(samples: SampleSet, count: int, num_classes: int) -> Tensor:
    """Return the indices of at most `count` random samples, always the same.

    num_classes: draw from the classes 0, 1, ... in turn; 0: from all samples.
    """
    order = drawn_indices(len(samples), len(samples))
    assert order is not None
    members = [order[samples.labels[order] == k] for k in range(num_classes)] if samples.labels is not None else []
    if members and all(map(len, members)):
        drawn = (members[i % num_classes].roll(-(i // num_classes))[0] for i in range(count))
        return torch.stack(list(drawn))
    return order[:count]
