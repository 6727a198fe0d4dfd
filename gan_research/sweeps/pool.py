"""The processes of a sweep's runs, each on cores or GPUs of its own."""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from pydantic import PositiveInt

from gan_research.sweeps.trials import End, Status, TrialRun
from gan_research.utils.errors import RESUME, UserError


@dataclass(frozen=True)
class Slot:
    """What one run at a time has for itself: numbers of CPU cores, or none; GPUs, as CUDA_VISIBLE_DEVICES has them."""

    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()

    def variables(self, processes: int) -> dict[str, str]:
        """The environment of a run of that many processes."""
        given = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        if "OMP_NUM_THREADS" not in os.environ:
            given["OMP_NUM_THREADS"] = str(max(1, len(self.cores) // processes))
        return given


class Pool:
    """How many runs are played at once on this machine, and on what.

    runs: at once; None: as many as have cores, or GPUs, for themselves. More of them share.
    cores: for each run; None: one for each of its processes, or on GPUs an even part.
    gpus: for each run; None: one for each of its processes.
    per_gpu: runs that share each GPU at once; for small games, which leave most of one idle.
    jobs: of a cluster that take part, each with one run at a time; None: one for each trial.
    """

    def __init__(
        self,
        runs: PositiveInt | None = None,
        cores: PositiveInt | None = None,
        gpus: PositiveInt | None = None,
        jobs: PositiveInt | None = None,
        per_gpu: PositiveInt = 1,
    ):
        if runs is not None and per_gpu > 1:
            raise UserError(f"pool.runs={runs} and pool.per_gpu={per_gpu} both say how many at once: give one of them")
        self.runs, self.cores, self.gpus, self.jobs, self.per_gpu = runs, cores, gpus, jobs, per_gpu

    def slots(self, processes: int, on_gpus: bool) -> list[Slot]:
        """What there is for runs of that many processes."""
        cores, gpus = own_cores(), own_gpus() if on_gpus else []
        if on_gpus and gpus:
            each = self.gpus or processes
            if each > len(gpus):
                raise UserError(f"each run wants {each} GPUs, of {len(gpus)}: lower trainer.devices, or pool.gpus")
            runs = self.runs or len(gpus) // each * self.per_gpu
            per_run = self.cores or max(1, len(cores) // runs)
            return [Slot(part(cores, per_run, i), part(gpus, each, i % (len(gpus) // each))) for i in range(runs)]
        per_run = self.cores or processes
        runs = self.runs or max(1, len(cores) // per_run)
        return [Slot(part(cores, per_run, i)) for i in range(runs)]


def part(whole: list[Any], size: int, number: int) -> tuple[Any, ...]:
    """The number-th part of that size, from the beginning again where there are no more; all, where it is larger."""
    parts = max(1, len(whole) // size)
    begin = number % parts * size
    return tuple(whole[begin : begin + size])


def own_cores() -> list[int]:
    """The CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def own_gpus() -> list[str]:
    """The GPUs that this process sees, by the names that CUDA_VISIBLE_DEVICES gives them."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(i) for i in range(count)]


class Process(Protocol):
    """subprocess.Popen, as far as it is used."""

    def poll(self) -> int | None: ...
    def send_signal(self, number: int) -> None: ...
    def kill(self) -> None: ...
    def wait(self) -> Any: ...


@dataclass
class Playing:
    """A run that is being played. `asked`: what it ends as, and why, where it was asked to end."""

    run: TrialRun
    slot: Slot
    process: Process
    began: float = field(default_factory=time.monotonic)
    asked: tuple[Status, str] | None = None

    def ask_to_end(self, status: Status, reason: str) -> None:
        """It stops after its round, with a checkpoint."""
        if self.asked is None:
            self.asked = status, reason
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> End | None:
        """How it ended; None while it goes on."""
        status = self.process.poll()
        if status is None:
            return None
        seconds, ended = time.monotonic() - self.began, time.time()
        if status == 0:
            return End("finished", None, 0, seconds, ended)
        if self.asked is not None:
            return End(*self.asked, status, seconds, ended)
        if status < 0:
            return End("killed", f"ended by {signal.Signals(-status).name}", status, seconds, ended)
        return End("stopped" if status == RESUME else "failed", self.run.last_error(), status, seconds, ended)
