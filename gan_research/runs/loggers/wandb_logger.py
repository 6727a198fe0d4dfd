"""The logger of Weights & Biases."""

import logging
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning.loggers as lightning_loggers
import wandb
from PIL import Image
from pydantic import NonNegativeInt, PositiveInt, ValidationError
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from gan_research.callbacks.base import Level, numbers
from gan_research.runs.loggers.wandb_models import data_artifact, kept, model_artifact
from gan_research.runs.run import Run
from gan_research.sampling.sampler import Sampler
from gan_research.utils.artifacts import SCHEME
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.files import free_name
from gan_research.utils.images import grid, png
from gan_research.utils.lightning_compat import use_new_artifact
from gan_research.utils.run_folder import HISTORY, MEASURED, read_history

log = logging.getLogger(__name__)


def can_write(folder: Path) -> bool:
    """Return whether files can be written into a folder, after making it."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return os.access(folder, os.W_OK)


def logged_in() -> bool:
    """Return whether W&B has a key; warn of one that can't be a key."""
    try:
        return bool(wandb.login(prompt=False, verify=False))
    except wandb.errors.Error as error:
        log.warning("the run is logged offline: %s", one_line(error))
        return False


class WandbLogger(lightning_loggers.WandbLogger):
    """Weights & Biases: online if a key is configured and the server can be reached, otherwise offline.

    A resumed run keeps its id; offline it gets a new segment. `wandb agent` sets id, project and entity.

    project, entity: where the run belongs.
    mode: "online", "offline" or "disabled", instead of a choice by the key.
    timeout: seconds to wait for the server before the run is offline.
    log_model: checkpoints that are uploaded as versions of the artifact model-ID: "best" and the last one when the run
        ends or stops, or "all" when they are written; false: none, as each takes the space of a checkpoint.
    sample_rows: the number of samples in the table that is logged with each sample grid; 0: no table.
    """

    takes_protocols = True

    def __init__(
        self,
        run: Run,
        project: str = "gan_research",
        entity: str | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
        timeout: PositiveInt = 30,
        log_model: Literal["best", "all", False] = False,
        sample_rows: NonNegativeInt = 16,
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
        self._timeout, self._folder, self._run = timeout, run.folder, run
        self._evaluations: dict[str, dict[str, Any]] = {}  # the main column of each -> its protocol
        self.log_model, self.sample_rows = log_model, sample_rows
        self._files = free_name(run.folder.absolute() / "wandb" / "uploads")
        self._best: dict[str, float] = {}
        self._uploads: ThreadPoolExecutor | None = None  # a thread, as they ask the server
        self._at_end: tuple[Mapping[str, Path], Sampler] | None = None

    @staticmethod
    def check(tags: list[str], project: str = "gan_research", mode: str | None = None, **others: Any) -> None:
        """Raise a UserError if W&B refuses the project, a tag, or an environment variable."""
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_API_KEY"}
        try:
            wandb.Settings(project=project, run_tags=tuple(tags)).update_from_env_vars(environment)
        except wandb.errors.Error as error:
            raise UserError(f"W&B refuses a setting: {one_line(error)}") from error
        except ValidationError as error:
            (fault, *_) = error.errors()
            name = "tags" if fault["loc"] == ("run_tags",) else f"WANDB_{'_'.join(map(str, fault['loc'])).upper()}"
            raise UserError(f"W&B refuses {name}: {fault['msg'].removeprefix('Value error, ')}") from error

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started at first use."""
        if self._experiment is None:
            start = self._wandb_init
            if not can_write(Path(wandb.env.get_cache_dir())):  # W&B would print its log instead
                os.environ[wandb.env.CACHE_DIR] = str(self._folder.absolute() / "wandb" / "cache")
            if start["mode"] is None:
                start["mode"] = "online" if logged_in() else "offline"
            try:
                self._experiment = wandb.init(**start, settings=self._settings(start["mode"]))
            except (wandb.errors.Error, OSError) as error:
                log.warning("W&B can't be reached, the run is logged offline: %s", str(error).splitlines()[0])
                wandb.teardown()  # the failed one holds the run's id
                start["mode"] = "offline"
                self._experiment = wandb.init(**start, settings=self._settings("offline"))
            for axis in ("round", "kimg"):
                self._experiment.define_metric(axis, hidden=True)
            self._experiment.define_metric("*", step_metric="round")
            if os.environ.get("WANDB_SWEEP_ID"):
                self._keep_swept_parts(self._experiment.config)
            if not self._experiment.disabled:
                self._later("the data, or the model that the run starts from, isn't noted", self._use_inputs)
        return self._experiment

    def _keep_swept_parts(self, config: Any) -> None:
        """Copy parts that the sweep's parameters replace, such as `loss`, to `composed`."""
        parts = {key: part for key, part in self._wandb_init["config"].items() if isinstance(part, dict)}
        if swept := {key: part for key, part in parts.items() if config.get(key) != part}:
            config.update({"composed": swept})

    def _settings(self, mode: str) -> wandb.Settings:
        """Return settings without a summary at the end of an offline run: `gan train` has its own."""
        return wandb.Settings(init_timeout=self._timeout, console="off", quiet=mode != "online")

    def _later(self, problem: str, upload: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the thread of uploads; its error is a warning that begins with the problem."""

        def call() -> None:
            with warning_of(problem):
                upload(*arguments)

        self._uploads = self._uploads or ThreadPoolExecutor(1, "uploads")
        self._uploads.submit(call)

    def _use_inputs(self) -> None:
        """Note in the run what it is made of: its data, and the model that it starts from."""
        if (data := data_artifact(self._run, self._files)) is not None:
            use_new_artifact(self.experiment, data)
        model = next((segment["init"]["source"] for segment in self._run.segments if "init" in segment), "")
        if model.startswith(SCHEME) and not self.experiment.offline:  # the server knows its version
            self.experiment.use_artifact(model.removeprefix(SCHEME))

    @rank_zero_only
    def log_checkpoints(self, files: Mapping[str, Path], sampler: Sampler) -> None:
        """Upload the last checkpoint now, or it and the best one at the end.

        files: the checkpoints by alias.
        """
        if self.experiment.disabled:
            return
        if self.log_model == "best":
            self._at_end = files, sampler
        elif self.log_model == "all":
            self._upload_models({alias: path for alias, path in files.items() if path == files["last"]}, sampler)

    def _upload_models(self, files: Mapping[str, Path], sampler: Sampler) -> None:
        problem = "a checkpoint isn't uploaded"
        with warning_of(problem):
            for path in dict.fromkeys(files.values()):
                aliases = [alias for alias in files if files[alias] == path]
                self._later(problem, self._upload_model, kept(path, self._files), sampler, aliases)

    def _upload_model(self, checkpoint: Path, sampler: Sampler, aliases: list[str]) -> None:
        artifact, aliases = model_artifact(self._run, checkpoint, sampler, aliases)
        self.experiment.log_artifact(artifact, aliases=aliases)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        if how := {key: metrics[key] for key in MEASURED if key in metrics}:
            self._evaluations[next(iter(how.get("better", {})), "")] = how
            several = {"protocols": self._evaluations} if len(self._evaluations) > 1 else {}
            self.experiment.config.update(how | several, allow_val_change=True)
        self.experiment.log(numbers(metrics))  # no step=: rows on another axis would be dropped
        if "better" in metrics:
            self._log_best(metrics["better"], metrics)

    def _log_best(self, better: Mapping[str, str], row: Mapping[str, Any]) -> None:
        """Update the best values in the run's summary, where `metrics/NAME` is the last one.

        They are of the whole run, while `define_metric(summary="min")` in a resumed offline run knows only the rows
        since; and that would replace the number `metrics/NAME` in the summary by nested ones.
        """
        rows = [row] if better.keys() <= self._best.keys() else [*read_history(self._folder / HISTORY), row]
        for name, direction in better.items():
            choose = min if direction == "min" else max
            values = [value for row in rows if math.isfinite(value := row.get(f"metrics/{name}", math.nan))]
            if values := [*values, *([self._best[name]] if name in self._best else [])]:
                self._best[name] = choose(values)
        self.experiment.summary.update({f"best/{name}": value for name, value in self._best.items()})

    @rank_zero_only
    def log_picture(self, name: str, path: Path, round: int) -> None:
        self.experiment.log({name: wandb.Image(str(path)), "round": round})

    @rank_zero_only
    def log_film(self, name: str, path: Path, round: int) -> None:
        self.experiment.log({name: wandb.Video(str(path), format="gif"), "round": round})

    @rank_zero_only
    def log_samples(self, table: Mapping[str, Any], round: int) -> None:
        """Log a table of samples, whose columns are values or uint8 images (N, C, H, W)."""
        columns = [map(shown, column) if isinstance(column, Tensor) else column for column in table.values()]
        rows = [[round, *row] for row in zip(*columns, strict=True)]
        with staging_in(self._files):
            self.experiment.log({"sample_table": wandb.Table(["round", *table], rows), "round": round})

    @rank_zero_only
    def log_alert(self, title: str, text: str, level: Level) -> None:
        """Send an alert, which W&B forwards by mail or to a channel."""
        self.experiment.alert(title, f"{self._run.name}: {text}", level)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        if self._experiment is None:
            return
        if self._at_end is not None:
            self._upload_models(*self._at_end)
        if self._uploads is not None:
            self._uploads.shutdown()
        self._experiment.finish(exit_code=0 if status == "success" else 1)
        if not self._experiment.offline:  # else they are uploaded by `wandb sync`
            shutil.rmtree(self._files, ignore_errors=True)
        self._experiment = self._uploads = self._at_end = None


@contextmanager
def warning_of(problem: str) -> Iterator[None]:
    """Turn any error, of W&B's library, its server or the disk, into a warning."""
    try:
        yield
    except Exception as error:
        log.warning("W&B: %s: %s", problem, one_line(error))


def shown(image: Tensor) -> wandb.Image:
    """Return an image (C, H, W) as the cell of a table; a small one is enlarged."""
    return wandb.Image(Image.open(BytesIO(png(grid(image[None])))))


@contextmanager
def staging_in(folder: Path) -> Iterator[None]:
    """Let W&B keep files for its upload in a folder, not in the user's home."""
    before = os.environ.get(wandb.env.DATA_DIR)
    os.environ[wandb.env.DATA_DIR] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[wandb.env.DATA_DIR]
        else:
            os.environ[wandb.env.DATA_DIR] = before
