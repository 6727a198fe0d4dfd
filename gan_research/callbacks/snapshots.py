"""Snapshots of the generator's averages, from which other averages are reconstructed."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from gan_research.callbacks.base import Periodic
from gan_research.checkpoints.io import MARK, AtomicCheckpointIO
from gan_research.distributed.sharding import whole
from gan_research.sampling.averages import name_of
from gan_research.training.gan import GAN
from gan_research.training.saved_state import save_game
from gan_research.utils.run_folder import by_round, of_round


class Snapshots(Periodic):
    """Writes the averages to round_N.ckpt every `every` rounds: checkpoints to sample from, not to resume.

    When a run is resumed, those after its round are deleted. run: its identity.
    """

    folder: Path

    def __init__(self, folder: Path, every: int, run: str | None = None):
        super().__init__(every)
        self.folder, self.run = folder, run

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            for round, path in by_round(self.folder, ".ckpt").items():
                if round > pl_module.round:
                    path.unlink()

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        snapshot: dict[str, Any] = {} if self.run is None else {"run": self.run}
        save_game(gan, snapshot)  # on all ranks: it gathers pending terms of the log
        snapshot[MARK]["recorder"] = {"pending": []}
        snapshot["state_dict"] = {
            f"{name_of(index)}.{name}": whole(tensor)
            for index, average in enumerate(gan.averages)
            for name, tensor in average.state_dict().items()
        }
        if trainer.is_global_zero:
            AtomicCheckpointIO().save_checkpoint(snapshot, self.folder / of_round(gan.round, ".ckpt"))
