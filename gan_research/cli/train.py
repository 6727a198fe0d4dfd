"""`gan train`: parse and check the arguments, then train; `runs` takes seconds to import."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from gan_research.cli.arguments import parse, slow_imports
from gan_research.cli.sweep_request import sweep_request
from gan_research.cli.train_help import show_help
from gan_research.config.compose import compose_train
from gan_research.config.overrides import concerns, value_of
from gan_research.utils.artifacts import is_address, place_run, require_checkpoint
from gan_research.utils.errors import UserError
from gan_research.utils.paths import require_path
from gan_research.utils.run_folder import CONFIG

USAGE = """usage: gan train [-m] [--cfg] [--quiet] [--config-dir DIR] [--allow P] [GROUP=CHOICE ...] [KEY=VALUE ...]

Trains a GAN; without arguments, on handwritten digits, for about half a minute on a CPU.

  gan train loss=hinge generator.width=128 rounds=5000 seed=3
  gan train experiment=mnist_dcgan data.root=/data
  gan train resume=runs/NAME rounds=4000
  gan train init=runs/NAME data=folder data.path=photos
  gan train -m loss=hinge,wasserstein seed=0,1,2
  gan train --help generator=resnet      the keys of a choice, with types and defaults; also --help KEY ...

  --config-dir DIR   a folder with your own groups and choices, used in addition to the project's
  --cfg              print the resolved config and exit
  --quiet            print only the run's folder, warnings and the results (progress_seconds=null)
  -m                 a sweep: KEY=A,B,C trains a run for each value; see sweep=..., pool.* and objective=
  resume=RUN         resume the run in that folder, or from one of its checkpoints, or wandb://...: a model in W&B, in a
                     new folder in output=; settings that don't change
                     what is trained may be changed: rounds, intervals, logger, metrics, trainer, launcher; and
                     data.root or data.path if the data moved
  resume=auto        resume the unfinished run in output= with the same config (a requeued job resumes its own
                     run), or start one if there is none
  --allow P          a package whose classes resume=RUN may build
"""


SEVERAL_RUNS = ("-m", "--multirun")
QUIET = "progress_seconds=null"


def main(arguments: list[str]) -> int:
    """Run `gan train` with these arguments and return the exit status."""
    given = parse(arguments, "gan train", options=("--cfg", "--quiet", *SEVERAL_RUNS), foreign=True)
    given.overrides += [QUIET] if "--quiet" in given.options else []
    config_dir = given.config_dir
    if given.help:
        show_help(USAGE, given.overrides, config_dir)
        return 0
    if given.options & set(SEVERAL_RUNS):
        request = sweep_request(given)
        with slow_imports():
            from gan_research.cli import multirun

        return multirun.start(request, given, arguments)
    resumed = [o for o in given.overrides if o.startswith("resume=")]
    overrides = [o for o in given.overrides if o not in resumed]
    auto = bool(resumed) and resumed[-1] == "resume=auto"
    if resumed and is_address(address := resumed[-1].removeprefix("resume=")):
        outputs = [value_of(o) for o in overrides if concerns(o, "output")]
        folder = place_run(address, Path((outputs or ["runs"])[-1]))
        return main([f"resume={folder}" if argument == resumed[-1] else argument for argument in arguments])
    if resumed and not auto:
        path = Path(resumed[-1].removeprefix("resume="))
        if "--cfg" in given.options:
            raise UserError(f"--cfg prints the config of a new run; the config of this run is in {path / CONFIG}")
        require_path(path)
        with slow_imports():
            from gan_research.launchers import submission
            from gan_research.runs import fit

        if (status := submission.submit_resume(path, given.overrides, config_dir, given.allow)) is not None:
            return status
        trainer = fit.trainer_of(path, overrides, config_dir, given.allow)
        return on_its_devices(trainer, arguments, lambda: fit.resume(path, overrides, config_dir, given.allow))
    composition = compose_train(overrides, config_dir)
    if init := composition.config.get("init"):
        require_checkpoint(init)
    if "--cfg" in given.options:
        print(yaml.safe_dump(composition.config, sort_keys=False), end="")
        return 0
    with slow_imports():
        from gan_research.launchers import submission
        from gan_research.runs import auto_resume, fit

    if (status := submission.submit_run(composition, given.overrides, config_dir, given.allow)) is not None:
        return status

    def train() -> int:
        if auto:
            return auto_resume.resume_or_start(composition, overrides, config_dir)
        return fit.start(composition, overrides, config_dir)[0]

    return on_its_devices(composition.config["trainer"], arguments, train)


def on_its_devices(trainer: dict[str, Any], arguments: list[str], train: Callable[[], int]) -> int:
    """Train as one of the trainer's processes, or start them all if none runs yet."""
    from gan_research.distributed import process_group
    from gan_research.launchers import local_processes

    if count := local_processes.processes_to_start(trainer):
        return local_processes.start(count, ["train", *arguments])
    with process_group(local_processes.timeout_of(trainer), ["train", *arguments]):
        return train()
