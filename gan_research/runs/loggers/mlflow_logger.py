"""The logger of MLflow."""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning.loggers as lightning_loggers
from PIL import Image
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from gan_research.callbacks.base import numbers
from gan_research.runs.run import Run
from gan_research.utils.errors import UserError, import_extra, one_line
from gan_research.utils.lightning_compat import check_mlflow_names
from gan_research.utils.run_folder import leaves

log = logging.getLogger(__name__)


class MLFlowLogger(lightning_loggers.MLFlowLogger):
    """MLflow: the server of MLFLOW_TRACKING_URI; if there is none, mlflow.db and mlruns/ in the run's folder.

    The step is the round. A resumed run continues its MLflow run. If a server fails later on, the run continues.

    project: MLflow's experiment.
    uri: of a server, instead of MLFLOW_TRACKING_URI.
    """

    ID = "gan_research.id"  # the tag by which a run is found when it is resumed

    def __init__(self, run: Run, project: str = "gan_research", uri: str | None = None):
        lightning_loggers.Logger.__init__(self)  # Lightning's own creates a database on each rank: see `_open`
        self.run, self.project, self.uri = run, project, uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._initialized, self._run_id = False, None
        self.check(run.tags, project)

    @staticmethod
    def check(tags: list[str], project: str = "gan_research", **others: Any) -> None:
        """Raise a UserError if MLflow isn't installed, or refuses its experiment's name or a tag."""
        mlflow = import_extra("mlflow", "mlflow", "logger=mlflow")
        try:
            check_mlflow_names(project, tags)
        except mlflow.exceptions.MlflowException as error:
            raise UserError(f"MLflow refuses a name: {one_line(error)}") from error

    @property
    def name(self) -> str:
        return self.project

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The client, which starts or resumes its run at first use."""
        if not self._initialized:
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.WARNING)  # each step of creating a database is a line
            from mlflow.exceptions import MlflowException

            try:
                if self.uri:
                    self._open(self.uri)
            except MlflowException as error:
                reason = one_line(error)
                log.warning("MLflow can't be reached, the run is logged in its own folder: %s", reason)
        if not self._initialized:
            folder = self.run.folder.resolve()
            self._open(f"sqlite:///{folder / 'mlflow.db'}", (folder / "mlruns").as_uri())
        return self._mlflow_client

    def _open(self, uri: str, artifacts: str | None = None) -> None:
        """Start or resume the run, with its parameters and tags.

        MLflow keeps the first value of a parameter, so that values which a resumed run changes are tags.
        """
        from mlflow.entities import Param, RunTag

        super().__init__(self.project, tracking_uri=uri)
        client = self._mlflow_client
        known = client.get_experiment_by_name(self.project)
        experiment = known.experiment_id if known else client.create_experiment(self.project, artifacts)
        found = client.search_runs([experiment], f"tags.`{self.ID}` = '{self.run.id}'", max_results=1)
        run = found[0] if found else client.create_run(experiment, run_name=self.run.name)
        client.update_run(run.info.run_id, status="RUNNING")
        values = {name: str(value)[:6000] for name, value in leaves(self.run.config)}  # MLflow's limit
        tags = {f"choices.{group}": choice for group, choice in self.run.choices.items()}
        tags |= {self.ID: self.run.id, "group": self.run.group, "folder": str(self.run.folder)}
        tags |= dict.fromkeys(self.run.tags, "true")
        tags |= {name: value for name, value in values.items() if run.data.params.get(name, value) != value}
        params = [Param(name, value) for name, value in values.items() if name not in run.data.params]
        marks = [RunTag(*item) for item in tags.items()]
        for start in range(0, max(len(params), len(marks)), 100):  # MLflow's limit
            client.log_batch(run.info.run_id, params=params[start : start + 100], tags=marks[start : start + 100])
        self._experiment_id, self._run_id, self._initialized = experiment, run.info.run_id, True

    @contextmanager
    def _warn_of_errors(self) -> Iterator[Any]:
        """Yield the client; an error of its server is a warning."""
        from mlflow.exceptions import MlflowException

        client = self.experiment
        try:
            yield client
        except MlflowException as error:
            log.warning("MLflow can't log: %s", one_line(error))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        with self._warn_of_errors():
            super().log_metrics({k: v for k, v in numbers(metrics).items() if k != "round"}, metrics["round"])

    @rank_zero_only
    def log_picture(self, name: str, path: Path, round: int) -> None:
        with self._warn_of_errors() as client, Image.open(path) as image:
            client.log_image(self._run_id, image, key=name, step=round)

    @rank_zero_only
    def log_film(self, name: str, path: Path, round: int) -> None:
        with self._warn_of_errors() as client:
            client.log_artifact(self._run_id, str(path), "films")

    @rank_zero_only
    def finalize(self, status: str = "success") -> None:
        if self._initialized:
            with self._warn_of_errors():
                super().finalize(status)
