"""The loggers that write files: TensorBoard, and a table."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning.loggers as lightning_loggers
from PIL import Image
from pytorch_lightning.utilities import rank_zero_only

from gan_research.callbacks.base import numbers
from gan_research.runs.history import FileLogger
from gan_research.runs.run import Run
from gan_research.utils.run_folder import HISTORY, read_history


class TensorBoardLogger(lightning_loggers.TensorBoardLogger):
    """TensorBoard event files in the run's folder; the step is the round."""

    def __init__(self, run: Run):
        super().__init__(save_dir=str(run.folder), name="tensorboard", version="")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics({k: v for k, v in numbers(metrics).items() if k != "round"}, step)

    @rank_zero_only
    def log_picture(self, name: str, path: Path, round: int) -> None:
        self.experiment.add_image(name, np.asarray(Image.open(path)), round, dataformats="HWC")


class CSVLogger(FileLogger):
    """metrics.csv in the run's folder: the history as a table, written when the run ends or stops."""

    def __init__(self, run: Run):
        super().__init__()
        self.folder = run.folder

    @rank_zero_only
    def finalize(self, status: str) -> None:
        history = self.folder / HISTORY
        if not history.exists():
            return
        table: dict[int, dict[str, Any]] = {}
        for row in read_history(history):
            table.setdefault(row["round"], {}).update(numbers(row))
        columns = list(dict.fromkeys(name for row in table.values() for name in row))
        with (self.folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(table.values())
