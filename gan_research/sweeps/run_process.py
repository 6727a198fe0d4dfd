"""The process of a sweep's run: forked from one that has imported torch and Lightning, or a new interpreter."""

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from gan_research.runs.run import SWEEPS_RUN
from gan_research.sweeps.pool import Slot
from gan_research.sweeps.trials import Outcome, Status, TrialRun
from gan_research.utils.errors import RESUME
from gan_research.utils.signals import terminate_with_parent

PRELOADED = ["gan_research.launchers.submission", "gan_research.runs.auto_resume", "sklearn.datasets"]
"""Modules whose import takes a run on the CPU longer than a thousand small rounds."""


@dataclass
class RunningProcess:
    """The process of a run. `stop_as`: its status and reason if it was asked to stop."""

    run: TrialRun
    slot: Slot
    process: "subprocess.Popen[bytes] | Forked"
    started: float = field(default_factory=time.monotonic)
    stop_as: tuple[Status, str] | None = None

    def stop(self, status: Status, reason: str) -> None:
        """Ask it to stop after its round, with a checkpoint."""
        if self.stop_as is None:
            self.stop_as = status, reason
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def outcome(self) -> Outcome | None:
        """Return its outcome; None while it runs."""
        exit = self.process.poll()
        if exit is None:
            return None
        status: Status = "stopped" if exit == RESUME else "failed"
        reason: str | None = None
        if exit == 0:
            status = "finished"
        elif self.stop_as is not None:
            status, reason = self.stop_as
        elif exit < 0:
            status, reason = "killed", f"ended by {signal.Signals(-exit).name}"
        else:
            reason = self.run.last_error()
        return Outcome(status, reason, exit, time.monotonic() - self.started, time.time())


def start_run(run: TrialRun, argv: list[str], slot: Slot, processes: int) -> RunningProcess:
    """Start `gan` with these arguments; its output is appended to the run's log.

    Only runs on the CPU are forked: CUDA doesn't survive a fork, and runs on a GPU are longer.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    start = spawn if slot.gpus or not sys.platform.startswith("linux") else Forked
    own = {SWEEPS_RUN: f"{run.folder.parent.name}/{run.folder.name}"}  # by which resume=auto finds it
    with run.log.open("ab") as log:
        return RunningProcess(run, slot, start(argv, slot, slot.variables(processes) | own, log))


def spawn(argv: list[str], slot: Slot, variables: dict[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start a new interpreter."""
    return subprocess.Popen(
        [sys.executable, "-m", "gan_research", *argv],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | variables,
        start_new_session=True,  # Ctrl-C is for the sweep, which stops its runs
        preexec_fn=_initializer(slot, os.getpid()),
    )


class Forked:
    """A process of multiprocessing's fork server, with the interface of `subprocess`."""

    def __init__(self, argv: list[str], slot: Slot, variables: dict[str, str], log: IO[bytes]):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._process = context.Process(target=run_gan, args=(argv, slot, variables, log.name))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self) -> None:
        self._process.join()


def run_gan(argv: list[str], slot: Slot, variables: dict[str, str], log: str) -> None:
    """Run `gan` in a forked process."""
    import torch

    os.setsid()
    nothing, written = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(stream, target)
    os.environ.update(variables)
    _initializer(slot, os.getppid())()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # the variable is read when torch is imported
    sys.argv = ["gan", *argv]
    try:
        runpy.run_module("gan_research", run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing omits them
        sys.stdout.flush()


def _initializer(slot: Slot, parent: int) -> Callable[[], None]:
    """Return a function that pins its process to cores and ties it to its parent."""
    follow = terminate_with_parent(parent)

    def initialize() -> None:
        if slot.pinned and slot.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, slot.cores)
        if follow is not None:
            follow()

    return initialize
