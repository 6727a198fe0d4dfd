"""The commands."""

import importlib
import logging
import os
import signal
import sys

from gan_research._version import __version__
from gan_research.distributed.slurm import rank_variables
from gan_research.utils.errors import UserError, did_you_mean

COMMANDS = {
    "train": "train a GAN: gan train loss=hinge seed=3, or gan train --help",
    "sweep": "go on with a sweep, see how it stands, play a sweep file of W&B",
    "compare": "put variants side by side, with the spread over seeds: a table and a page",
    "reproduce": "train recipes of papers, and hold the results against what was published",
    "watch": "the same page, served here while the runs go on",
    "report": "the same as a report in W&B",
    "cost": "what a run will take on this machine: memory, operations, time and what it goes to",
    "theory": "see the theory of the game: gan theory phases, or gan theory --help",
    "sample": "draw pictures, or points, from a checkpoint or a run",
    "export": "write a trained generator as plain weights and JSON",
    "evaluate": "measure a run, a checkpoint or pictures: FID, inception score, KID, ...",
}

USAGE = "usage: gan COMMAND ...\n\n" + "\n".join(f"  gan {name:<10} {line}" for name, line in COMMANDS.items())


def main(arguments: list[str] | None = None) -> int:
    """The `gan` command; the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(level=logging.WARNING, format="gan: %(message)s")
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
        elif isinstance(error, OSError) and error.filename is not None:  # a full disk, a folder that isn't ours
            message, status, common = f"{error.filename}: {error.strerror}", 2, False
        else:
            raise
    except KeyboardInterrupt:
        print("gan: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    rank = os.environ.get("RANK", "0")
    if rank == "0" or not common:  # of several processes one says what is common to all
        place = "" if rank == "0" else f"process {rank}: "
        print(f"gan: error: {place}{' '.join(message.split())}", file=sys.stderr)
    return status


def run(command: str, arguments: list[str]) -> int:
    """One command; only its own modules are imported."""
    if command not in COMMANDS:
        raise UserError(f"there is no command '{command}': {did_you_mean(command, COMMANDS)}")
    return importlib.import_module(f"gan_research.cli.{command}").main(arguments)


def user_error(error: BaseException | None) -> BaseException | None:
    """The user's error inside one that Hydra or a worker process wrapped around it."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error
