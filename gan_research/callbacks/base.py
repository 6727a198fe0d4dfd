"""The base of callbacks that act at intervals in rounds, and logging to every logger."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl

from gan_research.callbacks.watchdog import heartbeat
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError

Level = Literal["WARN", "ERROR"]


class Periodic(pl.Callback):
    """A callback that acts at the start, every `every` rounds, and at the end.

    folder: in the run's folder, into which it writes; None if it writes no files.
    """

    folder: Path | None = None

    def __init__(self, every: int):
        if every < 1:
            raise UserError(f"{type(self).__name__}: every={every}: give an interval of at least 1 round")
        self.every = every

    def act(self, trainer: pl.Trainer, gan: GAN) -> None:
        """Act after `gan.round` completed rounds."""
        raise NotImplementedError

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, GAN)
        if not pl_module.resumed:
            self.act_together(trainer, pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if self.due(pl_module):
            self.act_together(trainer, pl_module)

    def act_together(self, trainer: pl.Trainer, gan: GAN) -> None:
        """Act, with buffers that are equal on all ranks."""
        heartbeat(f"{type(self).__name__} after round {gan.round}")
        if gan.round > 0 and self.folder is not None and not self.folder.parent.is_dir():
            raise UserError(f"{self.folder.parent} was removed during training, which is over")
        gan.synchronize_buffers()
        self.act(trainer, gan)
        heartbeat(f"round {gan.round + 1}")

    def due(self, gan: GAN) -> bool:
        """Return whether to act after the round that was just completed."""
        return gan.round % self.every == 0 or gan.round == gan.rounds


def log_metrics(trainer: pl.Trainer, gan: GAN, metrics: dict[str, Any]) -> None:
    """Log a row to every logger, with the round and the images seen; protocols to those that take them."""
    row = {"round": gan.round, "kimg": gan.kimg, **metrics}
    for logger in trainer.loggers:
        logger.log_metrics(row if getattr(logger, "takes_protocols", False) else numbers(row), step=gan.round)


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a row."""
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


def log_picture(loggers: Iterable[Any], name: str, path: Path, round: int) -> None:
    """Log an image file to every logger that shows images."""
    for logger in loggers:
        if hasattr(logger, "log_picture"):
            logger.log_picture(name, path, round)


def log_alert(loggers: Iterable[Any], title: str, text: str, level: Level = "WARN") -> None:
    """Send an alert through every logger that sends alerts."""
    for logger in loggers:
        if hasattr(logger, "log_alert"):
            logger.log_alert(title, text, level)
