"""A progress bar in rounds, or plain lines without a terminal."""

import time
from datetime import timedelta
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gan_research.callbacks.blackboard import Blackboard
from gan_research.utils.consoles import on_terminal


class ProgressBar(pl.Callback):
    """A bar with the round, its rate, losses, main metric, warnings and the time left.

    Values of an earlier round are followed by that round.

    seconds: between two lines without a terminal; None: neither lines nor a bar.
    """

    REFRESH_SECONDS = 0.2
    FIRST_SECONDS = 1.0  # seconds to the first line, or fewer

    def __init__(self, board: Blackboard, console: Console | None = None, seconds: float | None = 10.0):
        self.board, self.console, self.seconds = board, console or Console(), seconds
        self._bar: Progress | None = None
        self._due = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero or self.seconds is None:
            return
        self._started, self._first = time.monotonic(), pl_module.round
        self._due = self._started + min(self.FIRST_SECONDS, self.seconds)
        if on_terminal(self.console):
            columns = (
                TextColumn("round {task.completed:,.0f}/{task.total:,.0f}"),
                BarColumn(),
                TextColumn("{task.fields[status]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self.console)
            self._bar.add_task("", total=pl_module.rounds, completed=pl_module.round, status="")
            self._bar.start()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        if not trainer.is_global_zero or self.seconds is None:
            return
        round, total, now = pl_module.round, pl_module.rounds, time.monotonic()
        if now < self._due and round < total:
            return
        rate = (round - self._first) / max(now - self._started, 1e-9)
        speed = f"{rate:,.1f} rounds/s" if rate >= 1 else f"{1 / max(rate, 1e-9):,.1f} s/round"
        if self._bar is not None:
            self._due = now + self.REFRESH_SECONDS
            self._bar.update(self._bar.task_ids[0], completed=round, status="  ".join([speed, *self._values(round)]))
            return
        self._due = now + self.seconds
        left = [f"{timedelta(seconds=int((total - round) / rate))} left"] if round < total else []
        line = "  ".join([f"round {round:,}/{total:,}", speed, *left, *self._values(round)])
        self.console.print(line, highlight=False, soft_wrap=True)

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._stop()

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _values(self, round: int) -> list[str]:
        """Return the losses, the main metric and the warnings, as texts."""
        board, main = self.board, next(iter(self.board.better), "")
        losses = [f"{name[5:]} {value:.3g}" for name, value in board.row.items() if name.startswith("loss/")]
        metrics = [f"{main} {board.metrics[main]:.4g}"] if main in board.metrics else []
        for values, measured in ((losses, board.row_round), (metrics, board.measured.get(main))):
            if values and measured not in (None, round):
                values[-1] += f" (round {measured:,})"
        return losses + metrics + [f"warning: {text}" for text in board.warnings.values()]
