"""Pictures of the same latents as training goes on."""

from pathlib import Path

import pytorch_lightning as pl
from torch import Tensor
from torchvision.utils import make_grid

from gan_research.callbacks.base import Periodic, log_picture
from gan_research.checkpoints import write_atomically
from gan_research.gan import GAN


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
            save_grid(pictures, path)
            log_picture(trainer, gan, "samples", path)


def save_grid(pictures: Tensor, path: Path) -> None:
    """Bytes (N, C, H, W), C 1 or 3, as one PNG, as square as N allows; small pictures are enlarged to be seen."""
    from torchvision.io import encode_png

    scale = max(1, -(-32 // pictures.shape[-1]))
    enlarged = pictures.cpu().repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    columns = max(1, round(len(pictures) ** 0.5))
    grid = make_grid(enlarged, nrow=columns, padding=2, pad_value=128)
    write_atomically(path, encode_png(grid).numpy().tobytes())  # torchvision's own file is cut short by a full disk
