"""Being asked to stop: after the round being played, in all processes after the same one."""

import signal
from types import FrameType
from typing import Any

import pytorch_lightning as pl

from gan_research.callbacks.blackboard import Blackboard
from gan_research.distributed import AnyRankFlag
from gan_research.utils.lightning_compat import skip_signal_handlers
from gan_research.utils.signals import ASKING


class Preemption(pl.Callback):
    """On a signal to one of the processes all of them stop, after the round being played (or the one after it).

    Handlers do no more than note the signal: what is being evaluated or saved is brought to its end. A second Ctrl-C
    stops at once.
    """

    def __init__(self, board: Blackboard | None = None) -> None:
        self.board = board or Blackboard()
        self.asked: signal.Signals | None = None
        """The signal that this process got."""
        self._flag = AnyRankFlag()
        self._handlers: dict[signal.Signals, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        skip_signal_handlers(trainer)
        for number in ASKING:
            self._handlers[number] = signal.signal(number, self._note)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        self.board.stopping = self._flag(self.asked is not None)
        if self.board.stopping:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._flag.settle()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._let_go()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._let_go()

    def _let_go(self) -> None:
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = signal.Signals(number)
