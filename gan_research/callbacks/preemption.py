"""Stopping on a signal, in all processes after the same round."""

import signal
from contextlib import ExitStack
from typing import Any

import pytorch_lightning as pl

from gan_research.callbacks.blackboard import Blackboard
from gan_research.distributed import AnyRankFlag
from gan_research.utils.lightning_compat import skip_signal_handlers
from gan_research.utils.signals import on_stop_signals


class Preemption(pl.Callback):
    """Stops all processes after this or the next round, if one receives a signal.

    Handlers only note the signal, so that an evaluation or a checkpoint is completed. A second Ctrl-C stops at once.
    """

    def __init__(self, board: Blackboard | None = None) -> None:
        self.board = board or Blackboard()
        self.asked: signal.Signals | None = None  # the signal that this process received
        self._flag = AnyRankFlag()
        self._handlers = ExitStack()

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        skip_signal_handlers(trainer)
        self._handlers.enter_context(on_stop_signals(self._note))

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        self.board.stopping = self._flag(self.asked is not None)
        if self.board.stopping:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._flag.settle()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._handlers.close()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._handlers.close()

    def _note(self, number: int) -> None:
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number)
