"""The processes of a sweep's runs: forked from one that has imported what takes seconds to import, or begun afresh."""

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO

from gan_research.runs.run import SWEEPS_RUN
from gan_research.sweeps.pool import Playing, Slot
from gan_research.sweeps.trials import TrialRun
from gan_research.utils.signals import end_with_parent

IMPORTED = [
    "gan_research.runs.fit",
    "gan_research.launchers.submission",
    "gan_research.runs.auto_resume",
    "sklearn.datasets",
]
"""What a run on the CPU spends more time on than on a thousand small rounds."""


def start_run(run: TrialRun, words: list[str], slot: Slot, processes: int) -> Playing:
    """Start `gan` with these words, its output going to the run's log.

    Only runs on the CPU are forked: what CUDA allows after a fork is another story, and games on a GPU are longer.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    begin = fresh if slot.gpus or not sys.platform.startswith("linux") else Forked
    own = {SWEEPS_RUN: f"{run.folder.parent.name}/{run.folder.name}"}  # one that is over isn't begun anew
    with run.log.open("ab") as log:
        return Playing(run, slot, begin(words, slot, slot.variables(processes) | own, log))


def fresh(words: list[str], slot: Slot, variables: dict[str, str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """A process that imports all anew."""
    return subprocess.Popen(
        [sys.executable, "-m", "gan_research", *words],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env=os.environ | variables,
        start_new_session=True,  # Ctrl-C is for the sweep, which tells its runs
        preexec_fn=_begin(slot, os.getpid()),
    )


class Forked:
    """A process of multiprocessing's fork server, as `subprocess` would have it."""

    def __init__(self, words: list[str], slot: Slot, variables: dict[str, str], log: IO[bytes]):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED)
        self._process = context.Process(target=play, args=(words, slot, variables, log.name))
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


def play(words: list[str], slot: Slot, variables: dict[str, str], log: str) -> None:
    """`gan`, in a process that was forked."""
    import torch

    from gan_research.cli import main

    os.setsid()
    nothing, written = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream, target in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(stream, target)
    os.environ.update(variables)
    _begin(slot, os.getppid())()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))  # the variable is read when torch is imported
    sys.argv = ["gan", *words]
    try:
        sys.exit(main(words))
    finally:
        atexit._run_exitfuncs()  # multiprocessing leaves them out
        sys.stdout.flush()


def _begin(slot: Slot, parent: int) -> Callable[[], None]:
    """What a run's process does first: it keeps to its cores, and ends with its parent."""
    follow = end_with_parent(parent)

    def begin() -> None:
        if slot.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, slot.cores)
        if follow is not None:
            follow()

    return begin
