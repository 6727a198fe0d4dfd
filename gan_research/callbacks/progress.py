"""A progress bar in rounds, or plain lines without a terminal."""

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from gan_research.callbacks.blackboard import Blackboard


class ProgressBar(pl.Callback):
    """A bar with the round, its rate, losses, metrics, warnings and the time left.

    Values of an earlier round are followed by that round.
    """

    REFRESH_SECONDS = 0.2
    LINES = 10  # number of lines of a run without a terminal

    def __init__(self, board: Blackboard, console: Console | None = None):
        self.board, self.console = board, console or Console()
        self._bar: Progress | None = None
        self._refreshed = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._started, self._first = time.monotonic(), pl_module.round
        if self.console.is_terminal:
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
        if not trainer.is_global_zero:
            return
        round, total = pl_module.round, pl_module.rounds
        if self._bar is None:
            if round == total or round % max(1, total // self.LINES) == 0:
                self.console.print(f"round {round:,}/{total:,}  {self._status(round)}", highlight=False, soft_wrap=True)
            return
        now = time.monotonic()
        if now - self._refreshed > self.REFRESH_SECONDS or round == total:
            self._refreshed = now
            self._bar.update(self._bar.task_ids[0], completed=round, status=self._status(round))

    def on_exception(self, trainer: pl.Trainer, pl_module: Any, exception: BaseException) -> None:
        self._stop()

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _status(self, round: int) -> str:
        rate = (round - self._first) / max(time.monotonic() - self._started, 1e-9)
        parts = [f"{rate:,.1f} rounds/s" if rate >= 1 else f"{1 / max(rate, 1e-9):,.1f} s/round"]
        losses = [f"{name[5:]} {value:.3g}" for name, value in self.board.row.items() if name.startswith("loss/")]
        metrics = [f"{name} {value:.4g}" for name, value in self.board.metrics.items() if name == "fid"]
        for values, measured in ((losses, self.board.row_round), (metrics, self.board.metrics_round)):
            if values and measured not in (None, round):
                values[-1] += f" (round {measured:,})"
            parts += values
        parts += [f"warning: {text}" for text in self.board.warnings.values()]
        return "  ".join(parts)
