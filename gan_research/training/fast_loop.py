"""A fast version of Lightning's loop over batches.

In each round Lightning takes a third of a millisecond to call every hook through its profiler, inspect signatures,
collect the results of `self.log` and decide whether to validate, which a `GAN` doesn't need. The computation and the
order of callbacks stay the same.
"""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy

from gan_research.data.base import Data
from gan_research.utils.lightning_compat import count_step

PACKAGE = __name__.partition(".")[0]


def install_fast_loop(trainer: pl.Trainer, gan: pl.LightningModule) -> None:
    """Replace the trainer's loop over batches by the fast one, if it makes no difference.

    That is on one device, if all callbacks and the data belong to this package.
    """
    parts = [gan, trainer.datamodule, *trainer.callbacks]  # type: ignore[attr-defined]
    if (
        all(type(part).__module__.partition(".")[0] == PACKAGE for part in parts)
        and isinstance(trainer.datamodule, Data)  # type: ignore[attr-defined]
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(trainer.profiler) is PassThroughProfiler  # type: ignore[attr-defined]
        and not trainer.enable_validation
    ):
        loop = trainer.fit_loop.epoch_loop
        loop.advance = FastBatchLoop(trainer, gan)  # type: ignore[assignment]
        loop.on_advance_end = lambda data_fetcher: count_step(loop)  # type: ignore[method-assign]


class FastBatchLoop:
    """`advance` of Lightning's epoch loop: one batch, and its hooks."""

    def __init__(self, trainer: pl.Trainer, gan: pl.LightningModule) -> None:
        self.trainer, self.gan = trainer, gan
        self.progress = trainer.fit_loop.epoch_loop.batch_progress
        self.data: Data = trainer.datamodule  # type: ignore[attr-defined]
        self.start_hooks = overridden_hooks(trainer, "on_train_batch_start")
        self.end_hooks = overridden_hooks(trainer, "on_train_batch_end")

    def __call__(self, fetcher: Any) -> None:
        trainer, gan, progress = self.trainer, self.gan, self.progress
        number = progress.current.ready
        batch, _, _ = next(fetcher)
        progress.is_last_batch = fetcher.done
        batch = self.data.transfer_batch_to_device(batch, gan.device, 0)
        batch = self.data.on_after_batch_transfer(batch, 0)
        progress.increment_ready()
        for hook in self.start_hooks:
            hook(trainer, gan, batch, number)
        progress.increment_started()
        gan.training_step(batch, number)
        progress.increment_processed()
        for hook in self.end_hooks:
            hook(trainer, gan, {}, batch, number)
        progress.increment_completed()


def overridden_hooks(trainer: pl.Trainer, name: str) -> list[Any]:
    """Return the hook of each callback that overrides it."""
    base = getattr(pl.Callback, name)
    return [getattr(c, name) for c in trainer.callbacks if getattr(type(c), name) is not base]  # type: ignore[attr-defined]
