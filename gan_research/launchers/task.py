"""What each task of a submitit job does: `gan train` as a child process, and the queue again when it was stopped."""

import os
import signal
import subprocess
import time
from types import FrameType
from typing import Any

from gan_research.distributed.slurm import rank_variables
from gan_research.utils.errors import RESUME

FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""What Slurm tells a task by; it tells the task's children only where a cluster is set up so."""

GO_ON = "to go on, submit the same command again"


class Stopped(Exception):
    """The training didn't reach its end, and isn't put back into the queue."""


class Task:
    """One process of the training; the first task requeues the job when the training ends unfinished.

    submitit's handler of its signal, in the first task, asks `checkpoint` what to requeue. A training that stops by
    itself because it lost another process (exit status 75) raises that signal. SIGTERM alone is no reason to
    requeue: it is how a job is cancelled, and Slurm itself requeues those that it preempts.

    command: `gan train`, with what it is to play.
    requeues: how often the job may still be put back into the queue.
    patience: seconds that the first task leaves to another that failed for good, and thereby ends the job.
    """

    def __init__(self, command: list[str], requeues: int, patience: float = 10.0):
        self.command = command
        self.requeues = requeues
        self.patience = patience
        self._child: subprocess.Popen[bytes] | None = None
        self._told: list[int] = []
        """The signals that came."""

    def __call__(self) -> None:
        import submitit

        environment = submitit.JobEnvironment()
        for number in FORWARDED:
            self._forward(number)
        self._child = subprocess.Popen(self.command, env=os.environ | rank_variables(os.environ))
        if self._told:  # while it was being started
            os.kill(self._child.pid, self._told[0])
        if self._finished():
            return
        if environment.global_rank == 0 and signal.SIGTERM not in self._told:
            self._stay(self.patience)
            if signal.SIGTERM not in self._told:
                signal.raise_signal(getattr(signal, f"SIG{environment.USR_SIG}"))
        self._stay(60 * self.patience)  # a task that fails may end the first one, before it has requeued the job
        raise Stopped(f"the training was stopped; {GO_ON}")

    def checkpoint(self) -> Any:
        """What is to be requeued, once the training has ended: the same, which goes on with the run of its job."""
        import submitit

        if self._finished():
            raise SystemExit(0)
        if self.requeues == 0:
            raise Stopped(f"the job was requeued as often as launcher.max_requeues allows; {GO_ON}")
        return submitit.helpers.DelayedSubmission(Task(self.command, self.requeues - 1, self.patience))

    def _forward(self, number: int) -> None:
        """Let the child be told of this signal, before whatever else is done about it."""
        before = signal.getsignal(number)

        def handler(number: int, frame: FrameType | None) -> None:
            self._told.append(number)
            if self._child is not None and len(self._told) == 1:  # once is enough, whatever follows
                os.kill(self._child.pid, number)
            if callable(before):
                before(number, frame)

        signal.signal(number, handler)

    def _finished(self) -> bool:
        """Waits for the end of the training: whether all rounds are played; `Stopped` where it can't go on."""
        status = self._ended()
        if status in (0, RESUME):
            return status == 0
        if status < 0 and -status in self._told:  # before it could note the signal
            return False
        raise Stopped(f"gan train ended with exit status {status}: see its messages above")

    def _ended(self) -> int:
        """The exit status of the child, once there is one; below 0: the signal that ended it.

        A signal handler may ask while it is being asked. (Popen's methods can't be used so: they reap the child, and
        hold a lock meanwhile.)
        """
        assert self._child is not None
        result = os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        assert result is not None
        return result.si_status if result.si_code == os.CLD_EXITED else -result.si_status

    def _stay(self, seconds: float) -> None:
        """Wait, until told to end."""
        before = self._told.count(signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self._told.count(signal.SIGTERM) == before and time.monotonic() < deadline:
            time.sleep(0.05)
