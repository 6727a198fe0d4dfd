"""The tasks of a submitit job: each runs `gan train` as a child process; a stopped job is requeued."""

import os
import signal
import subprocess
import time
from types import FrameType
from typing import Any

from gan_research.utils.errors import RESUME
from gan_research.utils.slurm import rank_variables

FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that Slurm sends to a task; whether its children get them depends on the cluster."""

TO_RESUME = "to resume it, submit the same command again"


class Stopped(Exception):
    """The run isn't finished, and the job isn't requeued."""


class Task:
    """A process of the run; the first task requeues the job if the run ends unfinished.

    In the first task, submitit's signal handler calls `checkpoint` for what to requeue. If `gan train` stops because
    it lost another process (exit status 75), the task raises that signal itself. SIGTERM alone doesn't requeue: it
    cancels a job, and Slurm requeues the jobs that it preempts.

    command: `gan train` with its arguments.
    requeues: how often the job may still be requeued.
    patience: seconds that the first task waits for another that failed for good, and thereby ends the job.
    """

    def __init__(self, command: list[str], requeues: int, patience: float = 10.0):
        self.command, self.requeues, self.patience = command, requeues, patience
        self._child: subprocess.Popen[bytes] | None = None
        self._signals: list[int] = []

    def __call__(self) -> None:
        import submitit

        environment = submitit.JobEnvironment()
        for number in FORWARDED:
            self._forward(number)
        self._child = subprocess.Popen(self.command, env=os.environ | rank_variables(os.environ))
        if self._signals:  # received during the start
            os.kill(self._child.pid, self._signals[0])
        if self._is_finished():
            return
        if environment.global_rank == 0 and signal.SIGTERM not in self._signals:
            self._wait(self.patience)
            if signal.SIGTERM not in self._signals:
                signal.raise_signal(getattr(signal, f"SIG{environment.USR_SIG}"))
        self._wait(60 * self.patience)  # a task that fails may end the first one before it has requeued the job
        raise Stopped(f"the training was stopped; {TO_RESUME}")

    def checkpoint(self) -> Any:
        """Wait for the end of `gan train`; return the task to requeue, which resumes the run of its job."""
        import submitit

        if self._is_finished():
            raise SystemExit(0)
        if self.requeues == 0:
            raise Stopped(f"the job was requeued as often as launcher.max_requeues allows; {TO_RESUME}")
        return submitit.helpers.DelayedSubmission(Task(self.command, self.requeues - 1, self.patience))

    def _forward(self, number: int) -> None:
        """Forward this signal to the child before it is handled here."""
        before = signal.getsignal(number)

        def handler(number: int, frame: FrameType | None) -> None:
            self._signals.append(number)
            if self._child is not None and len(self._signals) == 1:  # further signals change nothing
                os.kill(self._child.pid, number)
            if callable(before):
                before(number, frame)

        signal.signal(number, handler)

    def _is_finished(self) -> bool:
        """Wait for the end of `gan train`; return whether the run is finished, or raise `Stopped` if it failed."""
        status = self._exit_status()
        if status in (0, RESUME):
            return status == 0
        if status < 0 and -status in self._signals:  # before its handler was installed
            return False
        raise Stopped(f"gan train ended with exit status {status}: see its messages above")

    def _exit_status(self) -> int:
        """Wait for the exit status of the child; below 0: the signal that ended it.

        Unlike Popen's methods, which reap the child and hold a lock, a signal handler may call it during another call.
        """
        assert self._child is not None
        result = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        assert result is not None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def _wait(self, seconds: float) -> None:
        """Wait for some seconds, or for the next SIGTERM."""
        before, deadline = self._signals.count(signal.SIGTERM), time.monotonic() + seconds
        while self._signals.count(signal.SIGTERM) == before and time.monotonic() < deadline:
            time.sleep(0.05)
