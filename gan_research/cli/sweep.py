"""`gan sweep`: resume a sweep, show its trials, run a sweep file of W&B without its server."""

import argparse
from pathlib import Path

from rich.console import Console

from gan_research.cli.arguments import parse
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.files import write_atomically
from gan_research.utils.paths import require_path

USAGE = """usage: gan sweep resume DIR [pool.KEY=VALUE ...] [launcher=NAME ...]
       gan sweep status DIR
       gan sweep best DIR [--export FILE.yaml]
       gan sweep run FILE [--count N] [KEY=VALUE ...]

  resume   take part in the sweep in DIR: train the trials that are left, and retry those that failed. Any number of
           processes may, on any number of machines that see the folder. It runs the commands in DIR: trust it
  status   print the table of its trials
  best     print its best point and the command that trains it again; with --export write it as an experiment
  run      run a sweep file of W&B (sweeps/*.yaml) here, without W&B's server: grid, random, or Optuna's TPE for bayes

Sweeps are started by gan train -m: gan train -m loss=hinge,wasserstein seed=0,1,2
"""


def main(arguments: list[str]) -> int:
    """Run `gan sweep` with these arguments; return the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    actions = {"resume": resume, "status": status, "best": best, "run": run}
    action, *rest = arguments
    if action not in actions:
        raise UserError(f"there is no gan sweep {action}: {did_you_mean(action, actions)}")
    if not rest:
        raise UserError(f"gan sweep {action}: give {'a file' if action == 'run' else 'the folder of a sweep'}")
    require_path(rest[0])
    return actions[action](rest[0], rest[1:])


def resume(folder: str, overrides: list[str]) -> int:
    """Take part in a sweep."""
    from gan_research.cli import multirun
    from gan_research.config.compose import compose_multirun
    from gan_research.config.overrides import concerns
    from gan_research.sweeps.sweep import Sweep

    sweep, given = Sweep.open(Path(folder)), parse(overrides, "gan sweep resume")
    pool = [override for override in given.overrides if override.startswith("pool.")]
    if other := [o for o in given.overrides if o not in pool and not concerns(o, "launcher")]:
        raise UserError(f"{other[0]}: of a resumed sweep only pool.runs, pool.cores, ... and launcher may be changed")
    if pool:
        sweep.pool = compose_multirun(pool)["pool"]
    return multirun.train(sweep, multirun.launcher_of(sweep, given))


def status(folder: str, rest: list[str]) -> int:
    """Print the table of a sweep's trials."""
    from gan_research.sweeps.sweep import Sweep
    from gan_research.sweeps.table import SweepTable

    if rest:
        raise UserError(f"'{rest[0]}': gan sweep status takes the folder of a sweep, and nothing else")
    sweep = Sweep.open(Path(folder))
    Console().print(SweepTable(sweep, sweep.total).table(sweep.snapshot()))
    return 0


def best(folder: str, arguments: list[str]) -> int:
    """Print the best point of a sweep; write it as an experiment if asked to."""
    from gan_research.cli import multirun
    from gan_research.config.compose import compose_train
    from gan_research.config.experiment_file import experiment_file
    from gan_research.sweeps.sweep import Sweep

    parser = argparse.ArgumentParser(prog="gan sweep best DIR", allow_abbrev=False)
    parser.add_argument("--export", type=Path, metavar="FILE.yaml", help="write the point as an experiment")
    file: Path | None = parser.parse_args(arguments).export
    if file is not None:
        require_new_file(file)
    sweep = Sweep.open(Path(folder))
    point = multirun.print_best(sweep, sweep.snapshot(), Console())
    if file is not None:
        given = parse([*sweep.base, *point.overrides], "gan train", foreign=True)
        title = f"the best by {sweep.metric} of {sweep.name}: {point.text}"
        text = experiment_file(compose_train(given.overrides, given.config_dir), title)
        write_atomically(file, text.encode())
        print(f"written: {file}; as DIR/experiment/{file.name} it is gan train --config-dir DIR experiment={file.stem}")
    return 0


def require_new_file(file: Path) -> None:
    """Raise a UserError unless a YAML file of that name can be made."""
    if file.suffix != ".yaml":
        raise UserError(f"--export {file}: give a name that ends in .yaml")
    if file.exists():
        raise UserError(f"--export {file}: it exists: give a new name")
    if not file.absolute().parent.is_dir():
        raise UserError(f"--export {file}: there is no folder {file.parent}")


def run(path: str, arguments: list[str]) -> int:
    """Run a sweep file of W&B."""
    from gan_research.cli import multirun

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--count", type=number_of_trials, nargs="?", const="")
    options, rest = parser.parse_known_args(arguments)
    return multirun.start_file(Path(path), options.count, parse(rest, "gan sweep run"))


def number_of_trials(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"--count {text}: give a number of trials")
    return int(text)
