"""Training a run: a new one from its config, or an old one from a checkpoint."""

import errno
import os
import shutil
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from rich.console import Console
from rich.table import Table

from gan_research.callbacks import Blackboard, Checkpoints, Evaluate, Health, Log, Preemption, ProgressBar, SampleGrid
from gan_research.callbacks.sample_table import SampleTable
from gan_research.callbacks.snapshots import Snapshots
from gan_research.callbacks.states import States
from gan_research.checkpoints.allowlist import require_allowed
from gan_research.checkpoints.io import MARK, differences, open_checkpoint, read_checkpoint
from gan_research.config.build import build_data, build_evaluation, build_game, build_trainer, make
from gan_research.config.compose import AUTO, Composition, compose_train
from gan_research.config.keys import DATA_PLACES, GAME
from gan_research.config.overrides import concerns, merge_overrides, quoted
from gan_research.config.schema import INSTRUCTIONS, check, target_of
from gan_research.config.upgrade import upgraded
from gan_research.data import Data
from gan_research.distributed import (
    LostProcess,
    is_rank_zero,
    on_rank_zero,
    raise_on_all_ranks,
    rank_and_world_size,
    require_same,
)
from gan_research.metrics import Evaluation, Evaluations
from gan_research.runs.history import History
from gan_research.runs.naming import names
from gan_research.runs.roll_back import roll_back
from gan_research.runs.run import DataRecord, FirstWeights, Run, source_digest
from gan_research.training.first_weights import load_first_weights
from gan_research.training.gan import GAN
from gan_research.training.loss_log import Diverged
from gan_research.training.saved_state import require_resumable
from gan_research.utils.errors import RESUME, UserError
from gan_research.utils.memory import enough_memory
from gan_research.utils.reading import has_shape, reading
from gan_research.utils.renamed import renamed_targets
from gan_research.utils.run_folder import (
    AVERAGES,
    CHECKPOINTS,
    CONFIG,
    HISTORY,
    LAST,
    SAMPLES,
    leaves,
    read_config,
    read_history,
    require_own,
)

AnyEvaluation = Evaluation | Evaluations | None

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}  # a full disk, a used-up quota, a file at its limit


def start(
    composition: Composition, overrides: list[str], config_dir: Path | None, console: Console | None = None
) -> tuple[int, Run]:
    """Train a new run, whose folder is created after all else; return the exit status, and the run."""
    parts = build_new(composition.config, optional_metrics=composition.auto_metrics)
    run = on_rank_zero(lambda: begun(composition, overrides, config_dir, parts))
    with run.lock():
        return fit(run, composition.config, parts, console=console), run


def begun(composition: Composition, overrides: list[str], config_dir: Path | None, parts: "Parts") -> Run:
    """Return a new run whose record is written; if that fails, its folder is removed."""
    config = composition.config
    where = Path(config["output"])
    run = Run.create(where, *names(composition), config["tags"], overrides, config_dir, composition.chosen)
    try:
        run.begin(config, parts.trainer.strategy.root_device, data=data_record(parts.data), init=parts.init)
    except BaseException:
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    return run


def resume(path: Path, overrides: list[str], config_dir: Path | None, allow: Sequence[str] = ()) -> int:
    """Resume the run in a folder from its last checkpoint, or from the given one; return the exit status."""
    run = run_at(path)
    with run.lock():
        checkpoint, config, round = on_rank_zero(lambda: read_run_checkpoint(run, path))
        with reading(checkpoint):
            require_allowed(config, allow)
            places = places_of(config, overrides)
        require_places(config, places)
        changed = apply_overrides(config, run, overrides, config_dir, allow) if overrides else config
        with reading(checkpoint):
            check(config | {"data": changed["data"]})  # the checkpoint's own, with the data where they are now
            config = check(changed)
        if round >= config["rounds"]:
            raise UserError(f"{run.folder} is trained for all its {config['rounds']} rounds: add rounds=N for more")
        chosen = any(override.startswith("metrics=") for override in [*run.overrides, *overrides])
        return continue_run(run, config, build(config, optional_metrics=not chosen), checkpoint, round)


def trainer_of(path: Path, overrides: list[str], config_dir: Path | None, allow: Sequence[str] = ()) -> dict[str, Any]:
    """Return the config of a run's last trainer, or of one in `overrides`."""
    run = run_at(path)
    config = read_config(run.folder)
    node = renamed_targets(config).get("trainer")
    if not isinstance(node, dict):
        raise UserError(f"{run.folder / CONFIG} has no trainer: it isn't what was written")
    if any(override.lstrip("+~").startswith("trainer") for override in overrides):
        merged = merge_overrides(placed_overrides(run, config, overrides), overrides)
        node = compose_train(merged, config_dir or run.config_dir, allow).config["trainer"]
    require_allowed(node, allow)
    return node


def run_at(path: Path) -> Run:
    """Return the run of a folder, or of one of its checkpoints."""
    return Run.open(path.parent.parent if path.is_file() else path)


def read_run_checkpoint(run: Run, path: Path) -> tuple[Path, dict[str, Any], int]:
    """Return the path of a run's checkpoint, the config in it, and its round; all files must be of the run."""
    read_config(run.folder)
    if (run.folder / HISTORY).is_file():
        deque(read_history(run.folder / HISTORY), maxlen=0)
    checkpoint, state = open_checkpoint(path)
    require_own(checkpoint, state.get("run"), run.folder, run.id)
    if "config" not in state:
        raise UserError(f"{checkpoint} has no config: it wasn't written by gan train")
    return checkpoint, upgraded(state["config"]), state[MARK]["round"]


class Parts(NamedTuple):
    """The parts of a run, all of them checked."""

    data: Data
    gan: GAN
    trainer: pl.Trainer
    evaluation: AnyEvaluation
    analyses: list[Any]
    init: FirstWeights | None = None


def build(config: dict[str, Any], optional_metrics: bool, evaluation: AnyEvaluation = None) -> Parts:
    """Return the parts of a run; optional metrics are left out if they aren't available.

    evaluation: one that is already prepared.
    """
    if rank_and_world_size()[1] > 1:
        settings = {name: str(value) for name, value in leaves(config)}
        require_same(settings | {"gan_research": source_digest(), "torch": torch.__version__})
    with raise_on_all_ranks():
        check_loggers(config)
        data = build_data(config)
        gan = build_game(config, data)
        trainer = build_trainer(config["trainer"])
        make(config["health"])  # raises its errors before there is a folder
        evaluation = evaluation or prepared_evaluation(config, data, gan, trainer, optional_metrics)
        return Parts(data, gan, trainer, evaluation, checked_analyses(config, gan, data))


def build_new(config: dict[str, Any], optional_metrics: bool) -> Parts:
    """Return the parts of a new run, with the first weights of `init`, if any."""
    parts = build(config, optional_metrics)
    if (source := config.get("init")) is None:
        return parts
    with raise_on_all_ranks():
        name, round = load_first_weights(parts.gan, source)
        return parts._replace(init=FirstWeights(source=name, round=round))


def check_loggers(config: dict[str, Any]) -> None:
    """Raise a UserError if a logger or its tracker refuses the settings of the run."""
    for name, node in (config["logger"] or {}).items():
        if check := getattr(target_of(node, f"logger.{name}"), "check", None):
            check(config["tags"], **{key: value for key, value in node.items() if key not in INSTRUCTIONS})


def prepared_evaluation(
    config: dict[str, Any], data: Data, gan: GAN, trainer: pl.Trainer, optional: bool
) -> AnyEvaluation:
    """Return the evaluation with its statistics of real samples, after checks."""
    evaluation = build_evaluation(config, optional)
    if evaluation is None:
        return None
    best_metric(config, evaluation)
    evaluation.check(gan.sampler())
    evaluation.prepare(data.train, trainer.strategy.root_device, heldout=data.heldout)
    return evaluation


def checked_analyses(config: dict[str, Any], gan: GAN, data: Data) -> list[Any]:
    """Return the analyses of a run, each checked for its networks and data."""
    analyses = [make(node) for node in (config["analysis"] or {}).values()]
    for analysis in analyses:
        analysis.check(gan, data)
    return analyses


def best_metric(config: dict[str, Any], evaluation: AnyEvaluation) -> str | None:
    """Return the metric whose best value chooses a checkpoint, if any."""
    best = config["best"]
    if evaluation is None or best is None:
        return None
    if best == AUTO:
        return next(iter(evaluation.columns))
    if best not in evaluation.columns:
        raise UserError(f"best={best} isn't measured: add best=null, or best=... of {', '.join(evaluation.columns)}")
    return best


def apply_overrides(
    config: dict[str, Any], run: Run, overrides: list[str], config_dir: Path | None, allow: Sequence[str]
) -> dict[str, Any]:
    """Return the run's config with overrides; raise a UserError that shows a change of the game.

    The paths of data may change: `fit` compares the content.
    """
    config_dir, placed = config_dir or run.config_dir, placed_overrides(run, config, overrides)
    before = compose_train(placed, config_dir, allow).config
    after = compose_train(merge_overrides(placed, overrides), config_dir, allow).config
    game = [line for line in differences(before, after) if line.partition(":")[0].partition(".")[0] in GAME]
    if game:
        raise UserError(f"a resumed run can't change the game, start a new run for it: {'; '.join(game)}")
    moved = {key: after["data"][key] for key in places_of(config)}
    if moved != places_of(config) and run.data_hash is None:
        raise UserError(
            f"{run.folder} is of an earlier version, without a hash of its data: put them back where they were"
        )
    changed = {key: after[key] for key in after if before.get(key) != after[key]}
    return config | changed | {"data": config["data"] | moved}


def places_of(config: dict[str, Any], overrides: Sequence[str] = ()) -> dict[str, str]:
    """Return the paths of a run's data by their names, without those in overrides."""
    places = {key: config["data"][key] for key in DATA_PLACES if config["data"].get(key) is not None}
    return {key: path for key, path in places.items() if not any(concerns(o, f"data.{key}") for o in overrides)}


def placed_overrides(run: Run, config: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Return a run's overrides with the latest paths of its data."""
    kept = [f"data.{key}={quoted(path)}" for key, path in places_of(config, overrides).items()]
    moved = [o for o in overrides if any(concerns(o, f"data.{key}") for key in places_of(config))]
    return merge_overrides(run.overrides, kept + moved)


def require_places(config: dict[str, Any], places: dict[str, str]) -> None:
    """Raise a UserError if no data are at these paths, and can't be downloaded."""
    for key, path in places.items():
        if not Path(path).expanduser().exists() and not config["data"].get("download"):
            raise UserError(
                f"the data of the run are no longer in data.{key}={path}: if they were moved, add data.{key}=PATH to "
                "the command"
            )


def data_record(data: Data) -> DataRecord:
    """Return the description of the training samples, and the hash of their content."""
    return DataRecord(summary=data.summary(), hash=data.train.content_hash())


def same_data(run: Run, data: Data) -> DataRecord:
    """Return the record of the data; a UserError if a run was trained on others."""
    record = data_record(data)
    if run.data_hash not in (None, record["hash"]):
        raise UserError(
            f"the data aren't those that {run.folder} was trained on (hash {run.data_hash}, now {record['hash']}): "
            "restore them or give the folder they were moved to, or start a new run"
        )
    return record


def continue_run(run: Run, config: dict[str, Any], parts: "Parts", checkpoint: Path | None, round: int) -> int:
    """Record that a run is resumed, and train the rounds left; a checkpoint that can't be resumed changes nothing."""
    with raise_on_all_ranks():
        if is_rank_zero():
            if checkpoint is not None:
                with reading(checkpoint, "; give another checkpoint, or start a new run"):
                    content = read_checkpoint(checkpoint)
                    require_resumable(parts.gan, parts.trainer, content)
                    has_shape(content["callbacks"], States)
            run.begin(config, parts.trainer.strategy.root_device, round, same_data(run, parts.data))
    return fit(run, config, parts, checkpoint, [f"resumes after round {round:,} of {config['rounds']:,}"])


def fit(
    run: Run,
    config: dict[str, Any],
    parts: Parts,
    checkpoint: Path | None = None,
    notes: Sequence[str] = (),
    console: Console | None = None,
) -> int:
    """Train the rounds left, with roll-backs if allowed; return the exit status.

    notes: lines that are printed at the start, unless the run is quiet.
    """
    console = console or Console(quiet=not is_rank_zero())
    console.print(f"run {run.folder}", highlight=False, soft_wrap=True)
    start = [f"init {parts.init['source']}, round {parts.init['round']:,}"] if parts.init else []
    if config["progress_seconds"] is not None:
        for line in (f"data {parts.data.summary()}", *start, *notes):
            console.print(line, highlight=False, soft_wrap=True, markup=False)
    status = train(run, config, parts, console, checkpoint)
    while status is None:
        parts = build(config, optional_metrics=True, evaluation=parts.evaluation)
        status = train(run, config, parts, console, run.folder / CHECKPOINTS / LAST, rolled_back=True)
    return status


def train(
    run: Run, config: dict[str, Any], parts: Parts, console: Console, checkpoint: Path | None, rolled_back: bool = False
) -> int | None:
    """Train the rounds that are left, and print the results; return the exit status, or None after a roll-back."""
    data, gan, trainer, evaluation, analyses, _ = parts
    board = Blackboard()
    evaluate = Evaluate(evaluation, config["evaluate_every"], board) if evaluation is not None else None
    folder, every, best = run.folder / CHECKPOINTS, config["checkpoint_every"], best_metric(config, evaluation)
    checkpoints = Checkpoints(
        folder, every, config, keep_every=config["keep_every"], best=best, board=board, run=run.id
    )
    grid = SampleGrid(run.folder / SAMPLES, config["sample_every"])
    trainer.loggers = [History(run), *(make(node, run=run) for node in (config["logger"] or {}).values())]
    for analysis in analyses:
        analysis.folder = run.folder / "theory"
    health: Health = make(config["health"], board=board, folder=run.folder, rolled_back=rolled_back)
    progress = ProgressBar(board, console, config["progress_seconds"])
    table = SampleTable(config["sample_every"])
    snapshots = None
    if gan.ema and gan.ema.snapshot_every:
        snapshots = Snapshots(run.folder / AVERAGES, gan.ema.snapshot_every, run.id)
    callbacks = [
        Log(board), health, grid, table, evaluate, *analyses, progress, Preemption(board), snapshots, checkpoints,
    ]  # fmt: skip
    trainer.callbacks += [callback for callback in callbacks if callback is not None]  # type: ignore[attr-defined]
    began = time.perf_counter()
    try:
        with enough_memory("a round", "lower batch_size or raise accumulation, or make the networks smaller"):
            trainer.fit(gan, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    except Diverged as error:
        if not health.may_roll_back(gan):
            message = f"{error}; {health.failure_message(gan)}the last good checkpoint is {checkpoints.last}"
            raise Diverged(message, error.round) from error
        round, count = roll_back(run.folder, health.crash)
        line = f"{error}; back to round {round:,}, with other latents (roll-back {count} of {health.roll_backs})"
        console.print(line, highlight=False, soft_wrap=True)
        return None
    except LostProcess as error:
        raise LostProcess(f"{error}; after round {gan.round}, resume with: gan train resume={run.folder}") from error
    except OSError as error:
        if not run.folder.is_dir():
            raise UserError(f"{run.folder} was removed during training, which is over") from error
        if error.errno not in NO_ROOM:
            raise
        reason = f"{run.folder} can't be written to: {error.strerror}"
        raise UserError(f"{reason}; free some space and resume with: gan train resume={run.folder}") from error
    if gan.round < gan.rounds and not board.stopping:  # by a callback, which would end a resumed run too
        console.print(f"ended after round {gan.round} of {gan.rounds} by a callback", soft_wrap=True)
        return 0
    if gan.round < gan.rounds:
        console.print(f"stopped after round {gan.round}; resume with: gan train resume={run.folder}", soft_wrap=True)
        # W&B's agent treats any other status as a failure, also of a run that it stopped itself
        return 0 if "WANDB_SWEEP_ID" in os.environ else RESUME
    console.print(summary_table(run, gan, board, checkpoints, time.perf_counter() - began))
    console.print(f"more samples: gan sample {run.folder} -n 64", highlight=False, soft_wrap=True)
    return 0


def summary_table(run: Run, gan: GAN, board: Blackboard, checkpoints: Checkpoints, seconds: float) -> Table:
    """Return the table of a run's results."""
    table = Table(title=run.name, show_header=False, title_justify="left")
    table.add_row("rounds", f"{gan.round:,} ({gan.kimg:,.1f} kimg) in {seconds:,.1f} s")
    for name, value in board.row.items():
        if name.startswith(("loss/", "probability/", "game/")):
            table.add_row(name, f"{value:.4f}")
    for name, value in board.last_metrics.items():
        table.add_row(name, f"{value:.4g} (at the start {board.first_metrics[name]:.4g})")
    if board.warnings:
        table.add_row("warning", "; ".join(board.warnings.values()))
    if checkpoints.best_value is not None:
        best = f"{checkpoints.best} {checkpoints.best_value:.4g} at round {checkpoints.best_round:,}"
        table.add_row("best of the run", best)
    table.add_row("folder", str(run.folder))
    return table
