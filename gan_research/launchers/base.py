"""What a launcher is: something that may take a run elsewhere."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Job:
    """A run to be played elsewhere.

    name: what the run is called.
    words: those of `gan` with which each of its processes plays it, or goes on with it.
    trainer: the trainer's part of the config.
    """

    name: str
    words: list[str]
    trainer: dict[str, Any]


class Launcher(Protocol):
    def submit(self, job: Job) -> bool:
        """Whether the run is played elsewhere; if so it was submitted, and the user told."""


class Local:
    """The run is played here, by the process that was asked for it."""

    def submit(self, job: Job) -> bool:
        return False
