"""Pictures of the same latents as training goes on."""

from pathlib import Path

import pytorch_lightning as pl

from gan_research.callbacks.base import Periodic, log_picture
from gan_research.checkpoints import write_atomically
from gan_research.gan import GAN
from gan_research.pixels import grid, png


class SampleGrid(Periodic):
    """Every `every` rounds, a PNG of `count` samples of fixed latents, in `folder` and in the loggers."""

    def __init__(self, folder: Path, every: int, count: int = 64):
        super().__init__(every)
        self.folder = folder
        self.count = count

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        pictures = gan.sampler().sample_uint8(self.count, seed=gan.seed)
        if trainer.is_global_zero:
            path = self.folder / f"round_{gan.round:08d}.png"
            write_atomically(path, png(grid(pictures)))
            log_picture(trainer, gan, "samples", path)
