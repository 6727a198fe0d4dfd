"""The resources of a sweep's runs: each has its own cores or GPUs."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import PositiveInt

from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class Slot:
    """The resources of one run at a time: CPU cores, if any, and GPUs as in CUDA_VISIBLE_DEVICES.

    pinned: its processes run on these cores only.
    """

    cores: tuple[int, ...] = ()
    gpus: tuple[str, ...] = ()
    pinned: bool = True

    def variables(self, processes: int) -> dict[str, str]:
        """Return the environment variables of a run of that many processes."""
        variables = {"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}
        if "OMP_NUM_THREADS" not in os.environ:
            variables["OMP_NUM_THREADS"] = str(max(1, len(self.cores) // processes))
        return variables


class Pool:
    """The number of concurrent runs on this machine, and their resources.

    runs: at once; None: as many as have cores, or GPUs, of their own. More of them share.
    cores: of each run; None: one for each of its processes, or on GPUs an even part.
    gpus: of each run; None: one for each of its processes.
    per_gpu: runs that share each GPU at once; for small networks, which leave most of one idle.
    jobs: of a cluster, with one run at a time each; None: one for each trial.
    failed_before: the Unix time before which a trial failed that is retried; None: the start of this process.
    pin: pin each run to its cores; without, the operating system, or the cluster, distributes them.
    """

    def __init__(
        self,
        runs: PositiveInt | None = None,
        cores: PositiveInt | None = None,
        gpus: PositiveInt | None = None,
        jobs: PositiveInt | None = None,
        per_gpu: PositiveInt = 1,
        pin: bool = True,
        failed_before: float | None = None,
    ):
        if runs is not None and per_gpu > 1:
            raise UserError(f"pool.runs={runs} and pool.per_gpu={per_gpu} both set the number of runs: give one")
        self.runs, self.cores, self.gpus, self.jobs, self.per_gpu = runs, cores, gpus, jobs, per_gpu
        self.pin, self.failed_before = pin, failed_before

    def slots(self, processes: int, on_gpus: bool) -> list[Slot]:
        """Return the slots for runs of that many processes."""
        cores, gpus = own_cores(), own_gpus() if on_gpus else []
        if not gpus:
            per_run = self.cores or processes
            runs = self.runs or max(1, len(cores) // per_run)
            return [Slot(part(cores, per_run, i), pinned=self.pin) for i in range(runs)]
        each = self.gpus or processes
        if each > len(gpus):
            raise UserError(f"each run needs {each} GPUs, of {len(gpus)}: lower trainer.devices, or pool.gpus")
        runs = self.runs or len(gpus) // each * self.per_gpu
        per_run = self.cores or max(1, len(cores) // runs)
        return [Slot(part(cores, per_run, i), part(gpus, each, i), self.pin) for i in range(runs)]


def part(items: list[Any], size: int, number: int) -> tuple[Any, ...]:
    """Return part `number` of that size, starting over after the last one; all items if there are fewer."""
    begin = number % max(1, len(items) // size) * size
    return tuple(items[begin : begin + size])


def own_cores() -> list[int]:
    """Return the CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def own_gpus() -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES of the GPUs that this process sees."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",")[:count] if visible else [str(i) for i in range(count)]
