"""`gan train -m`: creates a sweep, in which this process and any number of others take part."""

import os
import shlex
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from gan_research.cli.arguments import Arguments
from gan_research.cli.dry_run import dry_run
from gan_research.cli.sweep_request import SweepRequest
from gan_research.config.build import build_evaluation, build_trainer, make
from gan_research.config.compose import AUTO, Composition, compose_multirun, compose_train
from gan_research.config.overrides import concerns, of_sweep, quoted
from gan_research.launchers import Job, Launcher, Local
from gan_research.sweeps.best import Point, best_point
from gan_research.sweeps.pool import Slot
from gan_research.sweeps.run_process import RunningProcess, start_run
from gan_research.sweeps.search import Search
from gan_research.sweeps.sweep import Sweep, new_folder
from gan_research.sweeps.table import SweepTable
from gan_research.sweeps.trials import TrialRun, TrialSnapshot
from gan_research.sweeps.worker import Worker
from gan_research.utils.consoles import of_width
from gan_research.utils.errors import RESUME, UserError, did_you_mean
from gan_research.utils.files import file_name, write_atomically
from gan_research.utils.renamed import renamed_metric

WIDTH = 120  # the width of tables that don't go to a terminal


def start(request: SweepRequest, given: Arguments, arguments: list[str]) -> int:
    """Start a sweep of what the command line varies; return the exit status."""
    name = "sweep-" + "-".join(axis.name.split(".")[-1] for axis in request.axes)
    sweep = new_sweep(name, request.fixed, request.compositions, request.config, given.config_dir)
    sweep.axes, sweep.command = request.own, shlex.join(["gan", "train", *arguments])
    search = make(sweep.search, spec=sweep.spec)  # raises its errors before there is a folder
    sweep.total = search.total
    if "--cfg" in given.options:
        return dry_run(sweep, request, search)
    launcher = launcher_of(sweep, given)
    sweep.create()
    return train(sweep, launcher)


def start_file(path: Path, count: int | None, given: Arguments) -> int:
    """Start a sweep of a sweep file of W&B; return the exit status."""
    from gan_research.sweeps.wandb_search import FILE, WandbFile, read_sweep_file

    file = read_sweep_file(path)
    point = file.next_point([])
    assert point is not None
    overrides = [o for o in given.overrides if not of_sweep(o)]
    config = compose_multirun([o for o in given.overrides if of_sweep(o)], given.config_dir)
    target = f"{WandbFile.__module__}.{WandbFile.__qualname__}"
    config["sweep"] = {"_target_": target, "count": count, "overrides": overrides}
    if file.metric:
        config["objective"] = renamed_metric(file.metric.name.removeprefix("metrics/"))
    composition = compose_train([*file.overrides(point), *overrides], given.config_dir)
    sweep = new_sweep(path.stem, [], [composition], config, given.config_dir)
    if file.metric:
        sweep.goal = "max" if file.metric.goal == "maximize" else "min"
    sweep.command = shlex.join(["gan", "sweep", "run", str(path), *given.overrides])
    launcher = launcher_of(sweep, given)
    sweep.create()
    write_atomically(sweep.folder / FILE, path.read_bytes())
    return train(sweep, launcher)


def new_sweep(
    name: str, fixed: list[str], compositions: Sequence[Composition], config: dict[str, Any], config_dir: Path | None
) -> Sweep:
    """Return a sweep with runs such as these compositions; its folder isn't created yet."""
    first = compositions[0].config
    for key in ("output", "launcher", "trainer"):
        if any(composition.config[key] != first[key] for composition in compositions):
            raise UserError(f"{key} can't be varied: it is the same for all runs of a sweep")
    if build_trainer(first["trainer"]).num_nodes > 1:
        raise UserError("each run of a sweep is trained on one host: add trainer.num_nodes=1")
    metric, goal = objective(compositions[0], config["objective"])
    rounds = {composition.config["rounds"] for composition in compositions}
    options = [f"--config-dir={config_dir.resolve()}"] if config_dir is not None else []
    name = first["name"] or name
    return Sweep(
        folder=new_folder(Path(first["output"]), file_name(name)),
        name=name,
        command="",
        base=[*options, *(o for o in fixed if not any(concerns(o, key) for key in ("output", "launcher", "name")))],
        axes=[],
        search=config["sweep"],
        pool=config["pool"],
        trainer=first["trainer"],
        metric=metric,
        goal=goal,
        rounds=rounds.pop() if len(rounds) == 1 else None,
        tags=first["tags"],
    )


def launcher_of(sweep: Sweep, given: Arguments) -> Launcher:
    """Return the launcher of the command line; raise a UserError if nothing can be submitted from here."""
    chosen = [o for o in given.overrides if concerns(o, "launcher")]
    if not chosen:
        return Local()
    node = compose_train([f"output={quoted(sweep.folder)}", *chosen], given.config_dir).config["launcher"]
    launcher: Launcher = make(node)
    launcher.check()
    return launcher


def submit(sweep: Sweep, launcher: Launcher, started: float, watch: Callable[[], None]) -> int | None:
    """Submit jobs that take part in a sweep, which began at a Unix time; return the exit status."""
    jobs = make(sweep.pool).jobs or make(sweep.search, spec=sweep.spec).total
    if jobs is None:
        raise UserError("the number of jobs is unknown: add pool.jobs=N")
    own = ["pool.runs=1", "pool.pin=false", f"pool.failed_before={int(started)}"]
    argv = ["sweep", "resume", str(sweep.folder.resolve()), *own]
    processes = build_trainer(sweep.trainer).world_size
    return launcher.submit([Job(f"{sweep.name}-{n}", argv, sweep.trainer, processes) for n in range(jobs)], watch)


def objective(composition: Composition, wanted: str) -> tuple[str | None, str | None]:
    """Return the metric by which trials are compared, and whether "min" or "max" is best."""
    evaluation = build_evaluation(composition.config, composition.auto_metrics)
    columns = evaluation.columns if evaluation is not None else {}
    if wanted != AUTO and wanted not in columns:
        measured = did_you_mean(wanted, columns) if columns else "nothing is, add metrics=..."
        raise UserError(f"objective={wanted} isn't measured: {measured}")
    return next(iter(columns.items()), (None, None)) if wanted == AUTO else (wanted, columns[wanted])


def train(sweep: Sweep, launcher: Launcher) -> int:
    """Train a sweep's trials and print the results, or only submit jobs; return the exit status."""
    if not launcher.waits:
        submit(sweep, launcher, time.time(), lambda: None)
        print(f"show its trials: gan sweep status {sweep.folder}")
        return 0
    console = of_width(WIDTH)
    console.print(f"sweep {sweep.folder}", highlight=False, soft_wrap=True)
    return report(sweep, *take_part(sweep, launcher, console), console)


def take_part(sweep: Sweep, launcher: Launcher, console: Console) -> tuple[SweepTable, bool]:
    """Train trials until none is left, or this process is asked to stop; return also whether none is left."""
    if "RANK" in os.environ:
        raise UserError("a sweep starts the processes of its runs itself: start it once, not by torchrun or srun")
    search = make(sweep.search, spec=sweep.spec)
    with SweepTable(sweep, search.total, console) as table:
        work = train_here if isinstance(launcher, Local) else partial(train_by_jobs, launcher=launcher)
        return table, work(sweep, search, table)


def train_here(sweep: Sweep, search: Search, table: SweepTable) -> bool:
    """Train trials in processes of this machine; return whether none is left."""
    trainer, pool = build_trainer(sweep.trainer), make(sweep.pool)
    slots = pool.slots(trainer.world_size, on_gpus=trainer.strategy.root_device.type == "cuda")

    def start(run: TrialRun, slot: Slot) -> RunningProcess:
        return start_run(run, argv_of(sweep, run), slot, trainer.world_size)

    return Worker(sweep, search, slots, start, table.show, pool.failed_before).work()


def train_by_jobs(sweep: Sweep, search: Search, table: SweepTable, launcher: Launcher) -> bool:
    """Train trials by jobs, and by new ones if they leave some; return whether none is left."""
    before, started = -1, time.time()
    while submit(sweep, launcher, started, lambda: table.show(sweep.snapshot())) != RESUME:
        trials = sweep.snapshot()
        left = sum(trial.state == "open" for trial in trials) + max(0, (search.total or 0) - len(trials))
        if left == 0:
            return True
        if left == before:
            raise UserError(f"the jobs have ended, and {left} trials are left: see the logs of the jobs")
        before = left
    return False


def argv_of(sweep: Sweep, run: TrialRun) -> list[str]:
    """Return the arguments of `gan` that start a run, or resume it."""
    tags = ",".join(quoted(tag) for tag in [*sweep.tags, sweep.folder.name])
    own = [f"output={quoted(run.folder.resolve())}", f"tags=[{tags}]", "launcher=local", "resume=auto"]
    return ["train", *sweep.base, *run.overrides, *own]


def print_best(sweep: Sweep, trials: Sequence[TrialSnapshot], console: Console) -> Point:
    """Print the best point of a sweep, and the command that trains it again; return the point."""
    best, number = best_point(sweep, trials)
    seeds = f", the mean of {len(best.seeds)} seeds" if len(best.seeds) > 1 else ""
    several = ["-m"] if len(best.seeds) > 1 else []
    command = ["gan", "train", *several, *sweep.base, *best.overrides, f"seed={','.join(best.seeds)}"]
    lines = (
        f"best of {number}: {best.text}: {sweep.metric} {best.mean:.4g}{seeds}",
        f"train it again: {shlex.join(command)}",
    )
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return best


def report(sweep: Sweep, table: SweepTable, over: bool, console: Console) -> int:
    """Print the results of a sweep; return the exit status."""
    trials = sweep.snapshot()
    console.print(table.table(trials))
    if not over:
        console.print(f"stopped; resume with: gan sweep resume {sweep.folder}", highlight=False, soft_wrap=True)
        return RESUME
    if sweep.metric is not None and any(trial.value is not None for trial in trials):
        print_best(sweep, trials, console)
    console.print(f"compare its runs: gan compare {sweep.folder}", highlight=False, soft_wrap=True)
    if failed := [trial for trial in trials if trial.state == "failed"]:
        raise UserError(
            f"{len(failed)} of {len(trials)} trials failed, the log of each is in {sweep.folder}/TRIAL/RUN/log.txt; "
            f"train them again: gan sweep resume {sweep.folder}"
        )
    return 0
