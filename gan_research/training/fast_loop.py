"""Lightning's loop over batches, without what a game that logs and steps by itself has no use for.

Of each round Lightning takes a third of a millisecond to call every hook through its profiler, look up signatures,
gather what `self.log` was told and ask whether to validate. The game, and when each callback acts, stay as they are.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy

from gan_research.data.base import Data
from gan_research.utils.lightning_compat import count_step

OURS = __name__.partition(".")[0]


def install_fast_loop(trainer: pl.Trainer, gan: pl.LightningModule) -> None:
    """Let the trainer, which plays `gan`, take the short way through each round, where nobody can tell."""
    if can_be_fast(trainer, gan):
        loop = trainer.fit_loop.epoch_loop
        loop.advance = FastBatchLoop(trainer, gan)  # type: ignore[assignment]
        loop.on_advance_end = lambda data_fetcher: count_step(loop)  # type: ignore[method-assign]


def can_be_fast(trainer: pl.Trainer, gan: pl.LightningModule) -> bool:
    """Whether all that takes part is this project's own, on one device: others may use whatever Lightning offers."""
    parts = [gan, trainer.datamodule, *trainer.callbacks]  # type: ignore[attr-defined]
    return (
        all(type(part).__module__.partition(".")[0] == OURS for part in parts)
        and isinstance(trainer.datamodule, Data)  # type: ignore[attr-defined]
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]
        and not trainer.enable_validation
    )


class FastBatchLoop:
    """`advance` of Lightning's epoch loop: one batch, and its hooks."""

    def __init__(self, trainer: pl.Trainer, gan: pl.LightningModule) -> None:
        self.trainer, self.gan = trainer, gan
        self.progress = trainer.fit_loop.epoch_loop.batch_progress
        self.data: Data = trainer.datamodule  # type: ignore[attr-defined]
        self.starting = overriding(trainer, "on_train_batch_start")
        self.ending = overriding(trainer, "on_train_batch_end")

    def __call__(self, fetcher: Any) -> None:
        trainer, gan, progress = self.trainer, self.gan, self.progress
        number = progress.current.ready
        batch, _, _ = next(fetcher)
        progress.is_last_batch = fetcher.done
        batch = self.data.transfer_batch_to_device(batch, gan.device, 0)
        batch = self.data.on_after_batch_transfer(batch, 0)
        progress.increment_ready()
        for hook in self.starting:
            hook(trainer, gan, batch, number)
        progress.increment_started()
        gan.training_step(batch, number)
        progress.increment_processed()
        for hook in self.ending:
            hook(trainer, gan, {}, batch, number)
        progress.increment_completed()


def overriding(trainer: pl.Trainer, name: str) -> list[Any]:
    """That hook of each callback which has one."""
    base = getattr(pl.Callback, name)
    return [getattr(c, name) for c in trainer.callbacks if getattr(type(c), name) is not base]  # type: ignore[attr-defined]
