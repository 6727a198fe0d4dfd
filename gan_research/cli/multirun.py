"""`gan train -m`: a sweep is made, and this process takes part in it, as any number of others may."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from gan_research.cli.arguments import Arguments
from gan_research.config.build import build_evaluation, build_trainer, make
from gan_research.config.compose import AUTO, Composition, compose_multirun, compose_train, concerns, of_sweep, quoted
from gan_research.launchers import Job, Local
from gan_research.sweeps.board import Board
from gan_research.sweeps.points import examples, split
from gan_research.sweeps.pool import Playing, Slot
from gan_research.sweeps.run_process import start_run
from gan_research.sweeps.search import joined
from gan_research.sweeps.sweep import Sweep, new_folder
from gan_research.sweeps.trials import TrialRun
from gan_research.sweeps.worker import Worker
from gan_research.utils.errors import RESUME, UserError, did_you_mean
from gan_research.utils.files import write_atomically
from gan_research.utils.renamed import renamed_metric


def start(given: Arguments, arguments: list[str]) -> int:
    """A new sweep of what the command line varies; the exit status."""
    if any(o.startswith("resume=") for o in given.overrides):
        raise UserError("resume= is about one run: go on with a sweep by gan sweep resume DIR")
    config = compose_multirun([o for o in given.overrides if of_sweep(o)], given.config_dir)
    fixed, axes = split(o for o in given.overrides if not of_sweep(o))
    everything = joined(config["sweep"].get("space"), axes)
    if not everything:
        raise UserError("nothing is varied: give a key several values (loss=hinge,wasserstein), or leave -m out")
    name = "sweep-" + "-".join(axis.name.split(".")[-1] for axis in everything)
    sweep = new_sweep(name, fixed, examples(everything), config, given.config_dir)
    sweep.axes, sweep.command = axes, shlex.join(["gan", "train", *arguments])
    make(sweep.search, task=sweep.task)  # what can't be searched is said before there is a folder
    sweep.create()
    return play_or_submit(sweep, given)


def start_file(path: Path, count: int | None, given: Arguments) -> int:
    """A new sweep of a sweep file of W&B, searched by W&B's own code; the exit status."""
    from gan_research.sweeps.wandb_search import FILE, WandbFile, WandbSearch, read_sweep_file

    file = read_sweep_file(path)
    search = WandbSearch(file)
    point = search.ask([])
    if point is None:
        raise UserError(f"{path} has no point to try: see its parameters and run_cap")
    words = [o for o in given.overrides if not of_sweep(o)]
    config = compose_multirun([o for o in given.overrides if of_sweep(o)], given.config_dir)
    target = f"{WandbFile.__module__}.{WandbFile.__qualname__}"
    config["sweep"] = {"_target_": target, "count": count, "overrides": words}
    if metric := file.get("metric"):
        config["objective"] = renamed_metric(metric["name"].removeprefix("metrics/"))
    sweep = new_sweep(path.stem, [], [[*search.overrides(point), *words]], config, given.config_dir)
    if metric:
        sweep.goal = "max" if metric.get("goal") == "maximize" else "min"
    sweep.command = shlex.join(["gan", "sweep", "run", str(path), *given.overrides])
    sweep.create()
    write_atomically(sweep.folder / FILE, path.read_bytes())
    return play_or_submit(sweep, given)


def new_sweep(
    name: str, fixed: list[str], points: Sequence[list[str]], config: dict[str, Any], config_dir: Path | None
) -> Sweep:
    """A sweep whose runs are found to be right, as far as these points of it show; its folder isn't made yet."""
    compositions = [compose_train([*fixed, *point], config_dir) for point in points]
    first = compositions[0].config
    for key in ("output", "launcher", "trainer"):
        if any(composition.config[key] != first[key] for composition in compositions):
            raise UserError(f"{key} can't be varied: it is one for all runs of a sweep")
    if build_trainer(first["trainer"]).num_nodes > 1:
        raise UserError("each run of a sweep is played on one host: add trainer.num_nodes=1")
    metric, goal = objective(compositions[0], config["objective"])
    rounds = {composition.config["rounds"] for composition in compositions}
    options = [f"--config-dir={config_dir.resolve()}"] if config_dir is not None else []
    name = first["name"] or name
    return Sweep(
        folder=new_folder(Path(first["output"]), re.sub(r"[^\w.+=-]+", "_", name)),
        name=name,
        command="",
        base=[*options, *(o for o in fixed if not concerns(o, "output") and not concerns(o, "launcher"))],
        axes=[],
        search=config["sweep"],
        pool=config["pool"],
        trainer=first["trainer"],
        metric=metric,
        goal=goal,
        rounds=rounds.pop() if len(rounds) == 1 else None,
        tags=first["tags"],
    )


def play_or_submit(sweep: Sweep, given: Arguments) -> int:
    """Take part in a sweep here; or have as many jobs of a cluster do so as its pool says."""
    return 0 if submitted(sweep, given) else play(sweep)


def submitted(sweep: Sweep, given: Arguments) -> bool:
    """Whether the launcher that was chosen has taken the sweep elsewhere."""
    chosen = [o for o in given.overrides if concerns(o, "launcher")]
    node = compose_train([f"output={quoted(sweep.folder)}", *chosen], given.config_dir).config["launcher"]
    if isinstance(make(node), Local):
        return False
    jobs = make(sweep.pool).jobs or make(sweep.search, task=sweep.task).total
    if jobs is None:
        raise UserError("how many jobs shall take part? add pool.jobs=N")
    trainer, processes = sweep.trainer, build_trainer(sweep.trainer).world_size
    if trainer.get("accelerator") != "cpu" and node.get("gpus_per_node") is None:
        node = node | {"gpus_per_node": processes}
    # a job is one task, which starts the processes of its run itself
    words = ["sweep", "resume", str(sweep.folder.resolve()), "pool.runs=1"]
    for number in range(jobs):
        make(node).submit(Job(f"{sweep.name}-{number}", words, trainer | {"devices": 1, "num_nodes": 1}))
    print(f"see how it stands: gan sweep status {sweep.folder}")
    return True


def objective(composition: Composition, wanted: str) -> tuple[str | None, str | None]:
    """The metric that trials are judged by, and whether less or more of it is better."""
    evaluation = build_evaluation(composition.config, composition.auto_metrics)
    columns = evaluation.columns if evaluation is not None else {}
    if wanted != AUTO and wanted not in columns:
        measured = did_you_mean(wanted, columns) if columns else "nothing is, add metrics=..."
        raise UserError(f"objective={wanted} isn't measured: {measured}")
    return next(iter(columns.items()), (None, None)) if wanted == AUTO else (wanted, columns[wanted])


def play(sweep: Sweep) -> int:
    """Take part in a sweep until it is over, or this process is asked to stop, and say what came of it; the status."""
    console = Console()
    console.print(f"sweep {sweep.folder}", highlight=False, soft_wrap=True)
    return close(sweep, *take_part(sweep, console), console)


def take_part(sweep: Sweep, console: Console) -> tuple[Board, bool]:
    """Play trials of a sweep until none is left, or this process is asked to stop; whether none is left."""
    if "RANK" in os.environ:
        raise UserError("a sweep starts the processes of its runs itself: start it once, not by torchrun or srun")
    search, trainer = make(sweep.search, task=sweep.task), build_trainer(sweep.trainer)
    slots = make(sweep.pool).slots(trainer.world_size, on_gpus=trainer.strategy.root_device.type == "cuda")

    def begin(run: TrialRun, slot: Slot) -> Playing:
        return start_run(run, words_of(sweep, run), slot, trainer.world_size)

    with Board(sweep, search.total, console) as board:
        return board, Worker(sweep, search, slots, begin, board.show).work()


def words_of(sweep: Sweep, run: TrialRun) -> list[str]:
    """Those of `gan` for a run; given again, they go on with it."""
    tags = ",".join(quoted(tag) for tag in [*sweep.tags, sweep.folder.name])
    own = [f"output={quoted(run.folder.resolve())}", f"tags=[{tags}]", "launcher=local", "resume=auto"]
    return ["train", *sweep.base, *run.overrides, *own]


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
