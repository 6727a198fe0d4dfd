"""The commands of `gan`."""

import importlib
import logging
import os
import signal
import sys

from gan_research._version import __version__
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.slurm import rank_variables

COMMANDS = {
    "train": "train a GAN: gan train loss=hinge seed=3, or gan train --help",
    "sweep": "resume a sweep, show its progress, or run a W&B sweep file",
    "compare": "compare variants over training seeds, in a table and an HTML page",
    "reproduce": "train recipes of papers and compare the results with the published ones",
    "watch": "serve the page of gan compare, updated as the runs are trained",
    "report": "create the same comparison as a W&B report",
    "cost": "estimate the memory, operations and time of a run on this machine",
    "theory": "study the theory in figures and films: gan theory phases, or gan theory --help",
    "sample": "generate images, or points, from a checkpoint or a run",
    "export": "write a trained generator as plain weights and JSON",
    "evaluate": "measure a run, a checkpoint or images: FID, inception score, KID, ...",
}

USAGE = "usage: gan COMMAND ...\n\n" + "\n".join(f"  gan {name:<10} {line}" for name, line in COMMANDS.items())


def main(arguments: list[str] | None = None) -> int:
    """Run the `gan` command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="gan: %(message)s")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where the home folder can't be written to
    os.environ.update(rank_variables(os.environ))
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(USAGE)
        return 0
    if command == "--version":
        print(__version__)
        return 0
    try:
        return run(command, rest)
    except Exception as error:
        if isinstance(cause := user_error(error), UserError):
            message, status, common = str(cause), cause.status, cause.common
        elif isinstance(error, OSError) and error.filename is not None:  # such as a full disk
            message, status, common = f"{error.filename}: {error.strerror}", 2, False
        else:
            raise
    except KeyboardInterrupt:
        print("gan: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    rank = os.environ.get("RANK", "0")
    if rank == "0" or not common:  # one process reports an error that all of them have
        prefix = "" if rank == "0" else f"process {rank}: "
        print(f"gan: error: {prefix}{' '.join(message.split())}", file=sys.stderr)
    return status


def run(command: str, arguments: list[str]) -> int:
    """Import a command's module, run it, and return the exit status."""
    if command not in COMMANDS:
        raise UserError(f"there is no command '{command}': {did_you_mean(command, COMMANDS)}")
    return importlib.import_module(f"gan_research.cli.{command}").main(arguments)


def user_error(error: BaseException | None) -> BaseException | None:
    """Return the UserError that Hydra or a worker process wrapped in another error."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error
