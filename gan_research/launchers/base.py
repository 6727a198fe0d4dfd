"""The contract of a launcher, which may submit a run to another machine."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Job:
    """A run to be trained elsewhere.

    argv: the arguments of `gan` with which each process starts the run, or resumes it.
    trainer: the trainer's part of the config.
    """

    name: str
    argv: list[str]
    trainer: dict[str, Any]


class Launcher:
    """Base of launchers."""

    def submit(self, job: Job) -> bool:
        """Return whether the run was submitted to another machine; if so, print how to follow it."""
        raise NotImplementedError


class Local(Launcher):
    """Trains the run in this process."""

    def submit(self, job: Job) -> bool:
        return False
