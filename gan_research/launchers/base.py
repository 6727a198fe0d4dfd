"""The contract of a launcher, which may submit runs to other machines."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from gan_research.utils.errors import UserError
from gan_research.utils.slurm import rank_variables


@dataclass(frozen=True)
class Job:
    """A run, or trials of a sweep, to be trained elsewhere.

    argv: the arguments of `gan` with which each process starts the run, or resumes it.
    trainer: the trainer's part of the config.
    processes: those of each run, if one process is started, which starts them itself; None: each is started.
    """

    name: str
    argv: list[str]
    trainer: dict[str, Any]
    processes: int | None = None


class Launcher:
    """Base of launchers."""

    waits: ClassVar[bool] = False
    """True if `submit` waits for the jobs."""

    def check(self) -> None:
        """Raise a UserError if nothing can be submitted from this process."""

    def submit(self, jobs: Sequence[Job], watch: Callable[[], None]) -> int | None:
        """Submit jobs, and print how to follow them; return the exit status, None if this process is to train.

        watch: called from time to time by a launcher that waits.
        """
        raise NotImplementedError


class Local(Launcher):
    """Trains the run in this process."""

    waits = True

    def submit(self, jobs: Sequence[Job], watch: Callable[[], None]) -> None:
        return None


def require_no_ranks(name: str) -> None:
    """Raise a UserError if this process is one of several that torchrun or srun started."""
    if "RANK" in os.environ or rank_variables(os.environ):
        raise UserError(f"launcher={name} submits one job for all processes: start it once, not by torchrun or srun")


def number_of(devices: Any) -> int | None:
    """Return the number of devices of a host that a trainer uses; None if only the host knows it."""
    if isinstance(devices, list):
        return len(devices)
    return int(devices) if isinstance(devices, int | str) and str(devices).isdecimal() else None
