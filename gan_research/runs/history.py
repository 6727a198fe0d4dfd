"""The record of a run: a JSONL of metrics in its folder, which other loggers mirror."""

import json
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from gan_research.runs.files import HISTORY, read_history
from gan_research.runs.run import Run
from gan_research.utils.files import write_atomically


class FileLogger(Logger):
    """A logger that writes one file into the run's folder, which holds the config already."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Nothing, unless a subclass writes row by row."""


class History(FileLogger):
    """history.jsonl: one row per entry, each with its `round` and `kimg`."""

    def __init__(self, run: Run):
        super().__init__()
        self.path = run.folder / HISTORY

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(metrics) + "\n")

    @rank_zero_only
    def cut(self, round: int) -> None:
        """Drop the rows past `round`: the game goes on from there."""
        if self.path.exists():
            rows = [json.dumps(row) for row in read_history(self.path) if row["round"] <= round]
            write_atomically(self.path, "".join(row + "\n" for row in rows).encode())
