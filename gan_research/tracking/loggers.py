"""The loggers that mirror a run's history; each logs against `round`, with `kimg` beside it."""

import csv
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning.loggers as lightning_loggers
import wandb
from PIL import Image
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from gan_research.tracking.history import FileLogger, History, read_history
from gan_research.tracking.run import Run

log = logging.getLogger(__name__)


class WandbLogger(lightning_loggers.WandbLogger):
    """Weights & Biases: online where a key is configured, otherwise offline; unreachable, the run goes on offline.

    A run that is resumed keeps its id: online it is continued; offline it gets a new segment under the same id.

    project, entity: where the run belongs.
    mode: "online", "offline" or "disabled" instead of what is found.
    timeout: seconds to wait for the server before the run goes on offline.
    """

    def __init__(
        self,
        run: Run,
        project: str = "gan_research",
        entity: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        timeout: int = 30,
    ):
        super().__init__(name=run.name, save_dir=run.folder, id=run.id, project=project)
        del self._wandb_init["anonymous"]  # deprecated, and Lightning passes it still
        self._wandb_init.update(
            entity=entity,
            group=run.group,
            tags=run.tags,
            config=run.config,
            mode=mode or os.environ.get("WANDB_MODE"),
        )
        self._timeout = timeout

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started at first use."""
        if self._experiment is None:
            start = self._wandb_init
            if start["mode"] is None:
                start["mode"] = "online" if wandb.login(prompt=False, verify=False) else "offline"
            try:
                self._experiment = wandb.init(**start, settings=self._settings(start["mode"]))
            except (wandb.errors.Error, OSError) as error:
                log.warning("W&B can't be reached, the run goes on offline: %s", str(error).splitlines()[0])
                wandb.teardown()  # what was begun holds the run's id
                start["mode"] = "offline"
                self._experiment = wandb.init(**start, settings=self._settings("offline"))
            self._experiment.define_metric("round")
            self._experiment.define_metric("*", step_metric="round")
        return self._experiment

    def _settings(self, mode: str) -> wandb.Settings:
        """No summary at the end of an offline run: `gan train` has its own."""
        return wandb.Settings(init_timeout=self._timeout, console="off", quiet=mode != "online")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if "protocol" in metrics:
            self.experiment.config.update({"protocol": metrics["protocol"]}, allow_val_change=True)
        numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
        self.experiment.log(numbers)  # no step=: rows on another axis would be dropped

    @rank_zero_only
    def log_picture(self, name: str, path: Path, round: int) -> None:
        self.experiment.log({name: wandb.Image(str(path)), "round": round})

    @rank_zero_only
    def log_film(self, name: str, path: Path, round: int) -> None:
        self.experiment.log({name: wandb.Video(str(path), format="gif"), "round": round})

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "success" else 1)
            self._experiment = None


class TensorBoardLogger(lightning_loggers.TensorBoardLogger):
    """TensorBoard event files in the run's folder; the step is the round."""

    def __init__(self, run: Run):
        super().__init__(save_dir=str(run.folder), name="tensorboard", version="")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        super().log_metrics({k: v for k, v in metrics.items() if isinstance(v, int | float) and k != "round"}, step)

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
        history = self.folder / History.FILE
        if not history.exists():
            return
        table: dict[int, dict[str, Any]] = {}
        for row in read_history(history):
            table.setdefault(row["round"], {}).update({k: v for k, v in row.items() if isinstance(v, int | float)})
        columns = list(dict.fromkeys(name for row in table.values() for name in row))
        with (self.folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(table.values())
