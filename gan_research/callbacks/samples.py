"""Pictures of the same latents as training goes on."""

from pathlib import Path

import pytorch_lightning as pl

from gan_research.callbacks.base import Periodic, log_picture
from gan_research.training.gan import GAN
from gan_research.utils.files import write_atomically
from gan_research.utils.images import grid, png
from gan_research.utils.run_folder import of_round

POINTS = 2000
"""Samples in one plot, where the generator makes points."""


class SampleGrid(Periodic):
    """Every `every` rounds, a PNG of samples of fixed latents, in `folder` and in the loggers.

    `count` pictures in a grid, or `POINTS` points plotted over their density.
    """

    def __init__(self, folder: Path, every: int, count: int = 64):
        super().__init__(every)
        self.folder = folder
        self.count = count

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        picture = self._picture(trainer, gan)
        if trainer.is_global_zero:
            path = self.folder / of_round(gan.round, ".png")
            write_atomically(path, picture)
            log_picture(trainer.loggers, "samples", path, gan.round)

    def _picture(self, trainer: pl.Trainer, gan: GAN) -> bytes:
        sampler = gan.sampler()
        if gan.generator.resolution is not None:
            return png(grid(sampler.sample_uint8(self.count, seed=gan.seed)))
        from gan_research.data.density_plots import points_png  # plots take time to import

        data = trainer.datamodule  # type: ignore[attr-defined]
        return points_png(sampler.sample(POINTS, seed=gan.seed), getattr(data, "density", None))
