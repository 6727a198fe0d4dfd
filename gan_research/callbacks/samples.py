"""Samples of the same latents during training."""

from pathlib import Path

import pytorch_lightning as pl

from gan_research.callbacks.base import Periodic, log_picture
from gan_research.training.gan import GAN
from gan_research.utils.files import write_atomically
from gan_research.utils.images import grid, png
from gan_research.utils.run_folder import of_round

POINTS = 2000  # number of samples in a plot of points


class SampleGrid(Periodic):
    """Writes a PNG of samples of fixed latents every `every` rounds, and logs it.

    It shows `count` images in a grid, or `POINTS` points over their density.
    """

    folder: Path

    def __init__(self, folder: Path, every: int, count: int = 64):
        super().__init__(every)
        self.folder, self.count = folder, count

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        image = self._png(trainer, gan)
        if trainer.is_global_zero:
            path = self.folder / of_round(gan.round, ".png")
            write_atomically(path, image)
            log_picture(trainer.loggers, "samples", path, gan.round)

    def _png(self, trainer: pl.Trainer, gan: GAN) -> bytes:
        sampler = gan.sampler()
        if gan.generator.resolution is not None:
            return png(grid(sampler.sample_uint8(self.count, seed=gan.seed)))
        from gan_research.data.density_plots import points_png  # plots take time to import

        data = trainer.datamodule  # type: ignore[attr-defined]
        return points_png(sampler.sample(POINTS, seed=gan.seed), getattr(data, "density", None))
