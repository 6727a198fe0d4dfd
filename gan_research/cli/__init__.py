"""The commands of `gan`."""

import importlib
import logging
import os
import signal
import sys

from gan_research._version import __version__
from gan_research.cli import output
from gan_research.utils.errors import UserError, did_you_mean, one_line
from gan_research.utils.ranks import require_ranks
from gan_research.utils.slurm import rank_variables

COMMANDS = {
    "train": "train a GAN: gan train loss=hinge seed=3, or gan train --help",
    "sweep": "resume a sweep, show its progress, or run a W&B sweep file",
    "ls": "list runs: state, round, main metric, age and size",
    "clean": "delete chosen runs, or old checkpoints, after listing them",
    "compare": "compare variants over training seeds, in a table and an HTML page",
    "reproduce": "train recipes of papers and compare the results with the published ones",
    "watch": "serve the page of gan compare, updated as the runs are trained",
    "report": "create the same comparison as a W&B report",
    "cost": "estimate the memory, operations and time of a run on this machine",
    "theory": "study the theory in figures and films: gan theory phases, or gan theory --help",
    "data": "show what is in a set of images, or convert it to StyleGAN's ZIP",
    "sample": "generate images, or points, from a checkpoint or a run",
    "explore": "look around in a generator with the mouse, on a page of this machine",
    "export": "write a trained generator as plain weights and JSON, or push it to the Hugging Face Hub",
    "evaluate": "measure a run, a checkpoint or images: FID, inception score, KID, ...",
}

USAGE = "usage: gan COMMAND ...\n\n" + "\n".join(f"  gan {name:<10} {line}" for name, line in COMMANDS.items())


def main(arguments: list[str] | None = None) -> int:
    """Run the `gan` command and return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    output.prepare()
    logging.basicConfig(level=logging.WARNING, format="gan: %(message)s")
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it warns where the home folder can't be written to
    try:
        try:
            os.environ.update(rank_variables(os.environ))
            require_ranks(os.environ)
            return run(*(arguments or ["--help"]))
        finally:
            sys.stdout.flush()  # so that its errors are raised here
    except Exception as error:
        if isinstance(cause := user_error(error), UserError):
            message, status, common = str(cause), cause.status, cause.common
        elif isinstance(error, BrokenPipeError) and output.is_unread():
            output.discard_rest()
            return 128 + signal.SIGPIPE
        elif isinstance(error, OSError):  # such as a full disk
            where = error.filename or "standard output or another stream"
            message, status, common = f"{where}: {error.strerror or one_line(error)}", 2, False
        else:
            raise
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich ends so
            return 128 + signal.SIGPIPE
        raise
    except KeyboardInterrupt:
        output.report("gan: interrupted")
        return 128 + signal.SIGINT
    rank = os.environ.get("RANK", "0")
    if rank == "0" or not common:  # one process reports an error that all of them have
        prefix = f"process {rank}: " if rank.isdecimal() and rank != "0" else ""
        output.report(f"gan: error: {prefix}{' '.join(message.split())}")
    return status


def run(command: str, *arguments: str) -> int:
    """Import a command's module, run it, and return the exit status."""
    if command in ("-h", "--help", "--version"):
        print(__version__ if command == "--version" else USAGE)
        return 0
    if command not in COMMANDS:
        raise UserError(f"there is no command '{command}': {did_you_mean(command, COMMANDS)}")
    return importlib.import_module(f"gan_research.cli.{command}").main(list(arguments))


def user_error(error: BaseException | None) -> BaseException | None:
    """Return the UserError that Hydra or a worker process wrapped in another error."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error
