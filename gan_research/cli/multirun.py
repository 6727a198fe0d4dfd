"""`gan train -m`: a sweep is made, and this process takes part in it, as any number of others may."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gan_research.cli.arguments import Arguments
from gan_research.cli.build import build_evaluation, build_trainer, make
from gan_research.cli.compose import AUTO, Composition, compose_multirun, compose_train, of_sweep, quoted
from gan_research.errors import RESUME, UserError, did_you_mean
from gan_research.sweeps import Sweep, TrialRun, Worker, new_folder
from gan_research.sweeps.board import Board
from gan_research.sweeps.points import examples, split
from gan_research.sweeps.search import joined


def start(given: Arguments, arguments: list[str]) -> int:
    """A new sweep of what the command line varies; the exit status."""
    if any(o.startswith("resume=") for o in given.overrides):
        raise UserError("resume= is about one run: go on with a sweep by gan sweep resume DIR")
    config = compose_multirun([o for o in given.overrides if of_sweep(o)], given.config_dir)
    fixed, axes = split(o for o in given.overrides if not of_sweep(o))
    everything = joined(config["sweep"].get("space"), axes)
    if not everything:
        raise UserError("nothing is varied: give a key several values (loss=hinge,wasserstein), or leave -m out")
    sweep = new_sweep(fixed, examples(everything), config, given.config_dir)
    sweep.axes = axes
    sweep.command = shlex.join(["gan", "train", *arguments])
    sweep.create()
    return play(sweep)


def new_sweep(fixed: list[str], points: Sequence[list[str]], config: dict[str, Any], config_dir: Path | None) -> Sweep:
    """A sweep whose runs are found to be right, as far as these points of it show; not yet a folder."""
    compositions = [compose_train([*fixed, *point], config_dir) for point in points]
    first = compositions[0]
    for key in ("output", "launcher"):
        if any(composition.config[key] != first.config[key] for composition in compositions):
            raise UserError(f"{key} can't be varied: it is one for all runs of a sweep")
    if first.choices["launcher"] != "local":
        raise UserError(
            "a sweep's runs are played by those who take part in it: start it here with launcher=local, and let a job "
            "of the cluster say gan sweep resume DIR for each part that it shall take"
        )
    trainer = build_trainer(first.config["trainer"])
    if trainer.num_nodes > 1:
        raise UserError("each run of a sweep is played on one host: add trainer.num_nodes=1")
    metric, goal = objective(first, config["objective"])
    varied = {word.partition("=")[0] for point in points for word in point}
    name = first.config["name"] or "sweep-" + "-".join(sorted(key.lstrip("+").split(".")[-1] for key in varied))
    options = [f"--config-dir={config_dir.resolve()}"] if config_dir is not None else []
    return Sweep(
        folder=new_folder(Path(first.config["output"]), re.sub(r"[^\w.+=-]+", "_", name)),
        name=name,
        command="",
        base=[*options, *(o for o in fixed if o.partition("=")[0] not in ("output", "launcher"))],
        axes=[],
        search=config["sweep"],
        pool=config["pool"],
        metric=metric,
        goal=goal,
        processes=trainer.world_size,
        on_gpus=trainer.strategy.root_device.type == "cuda",
        rounds=None if "rounds" in varied else first.config["rounds"],
    )


def objective(composition: Composition, wanted: str) -> tuple[str | None, str | None]:
    """The metric that trials are judged by, and whether less or more of it is better."""
    evaluation = build_evaluation(composition.config, composition.auto_metrics)
    columns = evaluation.columns if evaluation is not None else {}
    if wanted != AUTO and wanted not in columns:
        measured = did_you_mean(wanted, columns) if columns else "nothing is, add metrics=..."
        raise UserError(f"objective={wanted} isn't measured: {measured}")
    return next(iter(columns.items()), (None, None)) if wanted == AUTO else (wanted, columns[wanted])


def play(sweep: Sweep) -> int:
    """Take part in a sweep until it is over, or this process is asked to stop; the exit status."""
    search = make(sweep.search, task=sweep.task)
    slots = make(sweep.pool).slots(sweep.processes, sweep.on_gpus)
    console = Console()
    console.print(f"sweep {sweep.folder}", highlight=False, soft_wrap=True)
    with Board(sweep, search.total, console) as board:
        worker = Worker(sweep, search, slots, lambda run: arguments_of(sweep, run), board.show)
        over = worker.work()
    return close(sweep, board, over, console)


def arguments_of(sweep: Sweep, run: TrialRun) -> list[str]:
    """Those of `gan train` for a run; given again, they go on with it."""
    return [*sweep.base, *run.overrides, f"output={quoted(run.folder.resolve())}", "launcher=local", "resume=auto"]


def close(sweep: Sweep, board: Board, over: bool, console: Console) -> int:
    """Say what came of it; the exit status."""
    trials = sweep.look()
    console.print(board.table(trials))
    if not over:
        console.print(f"stopped; go on with: gan sweep resume {sweep.folder}", highlight=False, soft_wrap=True)
        return RESUME
    console.print(f"compare its runs: gan compare {sweep.folder}", highlight=False, soft_wrap=True)
    if failed := [trial for trial in trials if trial.state == "failed"]:
        raise UserError(
            f"{len(failed)} of {len(trials)} trials failed, the log of each is in {sweep.folder}/TRIAL/RUN/log.txt; "
            f"play them again: gan sweep resume {sweep.folder}"
        )
    return 0
