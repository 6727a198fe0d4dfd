"""The loggers that mirror a run's history; each logs against `round`, with `kimg` beside it."""

import csv
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning.loggers as lightning_loggers
import wandb
from PIL import Image
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from gan_research.runs.history import FileLogger
from gan_research.runs.run import Run
from gan_research.utils.errors import UserError
from gan_research.utils.run_folder import HISTORY, leaves, read_history

log = logging.getLogger(__name__)

AXES = ("round", "kimg")
"""What each row is logged against, and beside it."""


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn of a row."""
    return {key: value for key, value in row.items() if isinstance(value, int | float)}


class WandbLogger(lightning_loggers.WandbLogger):
    """Weights & Biases: online where a key is configured, otherwise offline; unreachable, the run goes on offline.

    A run that is resumed keeps its id: online it is continued; offline it gets a new segment under the same id. Under
    `wandb agent` id, project and entity are those of its sweep.

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
            job_type="train",
            tags=run.tags,
            config=run.config | {"choices": run.choices},
            mode=mode or os.environ.get("WANDB_MODE"),
        )
        if os.environ.get("WANDB_SWEEP_ID"):
            self._wandb_init.update(id=None, project=None, entity=None)  # the agent's, in the environment
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
            for axis in AXES:
                self._experiment.define_metric(axis, hidden=True)
            self._experiment.define_metric("*", step_metric=AXES[0])
            if os.environ.get("WANDB_SWEEP_ID"):
                self._keep_swept_parts(self._experiment.config)
        return self._experiment

    def _keep_swept_parts(self, config: Any) -> None:
        """A sweep's `loss: hinge` takes the place of the part `loss` in W&B's config: that goes under `composed`."""
        parts = {key: part for key, part in self._wandb_init["config"].items() if isinstance(part, dict)}
        if swept := {key: part for key, part in parts.items() if config.get(key) != part}:
            config.update({"composed": swept})

    def _settings(self, mode: str) -> wandb.Settings:
        """No summary at the end of an offline run: `gan train` has its own."""
        return wandb.Settings(init_timeout=self._timeout, console="off", quiet=mode != "online")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if how := {key: metrics[key] for key in ("protocol", "better") if key in metrics}:
            self.experiment.config.update(how, allow_val_change=True)
        self.experiment.log(numbers(metrics))  # no step=: rows on another axis would be dropped

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
        super().log_metrics({k: v for k, v in numbers(metrics).items() if k != "round"}, step)

    @rank_zero_only
    def log_picture(self, name: str, path: Path, round: int) -> None:
        self.experiment.add_image(name, np.asarray(Image.open(path)), round, dataformats="HWC")


class MLFlowLogger(lightning_loggers.Logger):
    """MLflow: the server of MLFLOW_TRACKING_URI; where there is none, mlflow.db and mlruns/ in the run's folder.

    The step is the round. A run that is resumed goes on with its MLflow run. What a server doesn't take later on is in
    the history still.

    project: MLflow's experiment.
    uri: instead of what is found.
    """

    ID = "gan_research.id"
    """The tag by which a run is found again."""

    def __init__(self, run: Run, project: str = "gan_research", uri: str | None = None):
        super().__init__()
        self.run, self.project, self.uri = run, project, uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._client: Any = None
        self._id: str | None = None
        try:
            import mlflow  # noqa: F401
        except ImportError:
            raise UserError("logger=mlflow needs MLflow: pip install 'gan_research[mlflow]'") from None

    @property
    def name(self) -> str:
        return self.project

    @property
    def version(self) -> str | None:
        return self._id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The client, its run begun at first use."""
        if self._client is None:
            self._begin()
        return self._client

    def _begin(self) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)  # each step of making a database is a line
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        folder = self.run.folder.resolve()
        if self.uri:
            try:
                client = MlflowClient(self.uri)
                self._id, self._client = self._open(client), client
                return
            except MlflowException as error:
                reason = " ".join(str(error).split())
                log.warning("MLflow can't be reached, the run goes on in its own folder: %s", reason)
        client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
        self._id, self._client = self._open(client, (folder / "mlruns").as_uri()), client

    def _open(self, client: Any, artifacts: str | None = None) -> str:
        """The id of the run in MLflow: the one that it had, or a new one."""
        found = client.get_experiment_by_name(self.project)
        experiment = found.experiment_id if found else client.create_experiment(self.project, artifacts)
        again = client.search_runs([experiment], f"tags.`{self.ID}` = '{self.run.id}'", max_results=1)
        parameters = {name: str(value)[:6000] for name, value in leaves(self.run.config)}  # MLflow's limit
        tags = {f"choices.{group}": choice for group, choice in self.run.choices.items()}
        tags |= {self.ID: self.run.id, "group": self.run.group, "folder": str(self.run.folder)}
        tags |= dict.fromkeys(self.run.tags, "true")
        if again:
            had = again[0].data.params
            tags |= {name: value for name, value in parameters.items() if had.get(name, value) != value}
            parameters = {name: value for name, value in parameters.items() if name not in had}
        run = again[0] if again else client.create_run(experiment, run_name=self.run.name)
        client.update_run(run.info.run_id, status="RUNNING")
        self._fill(client, run.info.run_id, parameters, tags)
        return str(run.info.run_id)

    @staticmethod
    def _fill(client: Any, run: str, parameters: dict[str, str], tags: dict[str, str]) -> None:
        """Parameters keep their first value for good, so what a resumed run changes is a tag; 100 of each at a time."""
        from mlflow.entities import Param, RunTag

        params = [Param(*item) for item in parameters.items()]
        marks = [RunTag(*item) for item in tags.items()]
        for start in range(0, max(len(params), len(marks)), 100):
            client.log_batch(run, params=params[start : start + 100], tags=marks[start : start + 100])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        row = [Metric(k, float(v), now, metrics["round"]) for k, v in numbers(metrics).items() if k != "round"]
        self._send("log_batch", metrics=row)

    @rank_zero_only
    def log_picture(self, name: str, path: Path, round: int) -> None:
        with Image.open(path) as picture:
            self._send("log_image", picture, key=name, step=round)

    @rank_zero_only
    def log_film(self, name: str, path: Path, round: int) -> None:
        self._send("log_artifact", str(path), "films")

    def _send(self, method: str, *arguments: Any, **more: Any) -> None:
        """To the server, which may be down by now: the game goes on."""
        from mlflow.exceptions import MlflowException

        client = self.experiment
        try:
            getattr(client, method)(self._id, *arguments, **more)
        except MlflowException as error:
            log.warning("MLflow doesn't take what is logged: %s", " ".join(str(error).split()))

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the config is logged as the run begins."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._client is not None:
            self._send("set_terminated", "FINISHED" if status == "success" else "FAILED")
            self._client = None


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
        with (self.folder / "metrics.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(table.values())
