"""Runs as tasks of a Ray cluster."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from gan_research.launchers.base import Job, Launcher, number_of, require_no_ranks
from gan_research.utils.errors import RESUME, UserError, import_extra, one_line
from gan_research.utils.signals import on_stop_signals, terminate_with_parent

REFRESH, POLL = 2.0, 0.1  # seconds between two looks at the tasks, and of a task at its process


class Stopped(Exception):
    """A run was stopped, but not by this command: Ray starts its task again, which resumes it."""


class Ray(Launcher):
    """A Ray task for each job. This process waits for them; if it ends, they stop after their round.

    folder: of a log for each job. address: of the cluster's head; "auto": the cluster to which this machine belongs.
    cpus, gpus: of each run; None: one for each of its processes, GPUs only if the cluster has any, and not with
        trainer.accelerator=cpu.
    resources: of each run, of names that the cluster's owner gave: {"a100": 1}.
    max_retries: how often a task is started again whose node was lost, or which was stopped there.
    runtime_env: Ray's runtime environment: {"env_vars": {"WANDB_MODE": "offline"}}.
    """

    waits = True

    def __init__(
        self,
        folder: str,
        address: str = "auto",
        cpus: PositiveFloat | None = None,
        gpus: NonNegativeFloat | None = None,
        resources: dict[str, float] | None = None,
        max_retries: NonNegativeInt = 20,
        runtime_env: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.address, self.cpus, self.gpus = Path(folder), address, cpus, gpus
        self.resources, self.max_retries, self.runtime_env = resources, max_retries, runtime_env

    def check(self) -> None:
        require_no_ranks("ray")
        self._connect()

    def submit(self, jobs: Sequence[Job], watch: Callable[[], None]) -> int:
        self.check()
        import ray

        try:
            has_gpus = ray.cluster_resources().get("GPU", 0) > 0
            sizes = [self.size(job, has_gpus) for job in jobs]  # raises its errors before there is a folder
            self.folder.mkdir(parents=True, exist_ok=True)
            print(f"logs {self.folder}")
            logs = [(self.folder / f"{job.name}.log").resolve() for job in jobs]
            tasks = [self._start(*each) for each in zip(jobs, sizes, logs, strict=True)]
            if not wait(tasks, watch):
                return RESUME
            statuses = [status_of(task, log) for task, log in zip(tasks, logs, strict=True)]
        finally:
            ray.shutdown()
        for status, log in zip(statuses, logs, strict=True):
            if status:
                print(f"gan: exit status {status} of a task: see {log}", file=sys.stderr)
                return status
        return 0

    def _connect(self) -> None:
        """Connect to the cluster; raise a UserError if that can't be done."""
        ray = import_extra("ray", "ray", "launcher=ray")
        if ray.is_initialized():
            return
        try:
            ray.init(self.address, runtime_env=self.runtime_env, logging_level=logging.ERROR, log_to_driver=False)
        except Exception as error:  # its class depends on the version
            advice = "start one with ray start --head, or give launcher.address=HOST:PORT"
            raise UserError(f"launcher=ray: no Ray cluster at {self.address}: {one_line(error)}; {advice}") from error

    def _start(self, job: Job, size: tuple[float, float, int], log: Path) -> Any:
        """Start the task of a job; return Ray's reference to it."""
        import ray

        cpus, gpus, processes = size
        variables = {"OMP_NUM_THREADS": str(max(1, int(cpus) // processes))}
        if not gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ""
        options = {"num_cpus": cpus, "num_gpus": gpus, "resources": self.resources, "name": job.name}
        retries = {"max_retries": self.max_retries, "retry_exceptions": [Stopped]}
        return ray.remote(run).options(**options, **retries).remote(job.argv, str(log), variables)

    def size(self, job: Job, has_gpus: bool) -> tuple[float, float, int]:
        """Return the CPUs, GPUs and processes of a job; raise a UserError if only a node knows them."""
        if job.trainer.get("num_nodes", 1) != 1:
            raise UserError("launcher=ray trains each run on one node: set trainer.num_nodes=1")
        processes = job.processes or number_of(job.trainer.get("devices"))
        if not processes:
            raise UserError(
                f"trainer.devices={job.trainer.get('devices')} doesn't specify the number of processes: give a number"
            )
        accelerator = job.trainer.get("accelerator", "auto")
        on_gpus = accelerator != "cpu" and (has_gpus or accelerator != "auto")
        gpus = self.gpus if self.gpus is not None else processes if on_gpus else 0
        return self.cpus or processes, gpus, processes


def wait(tasks: list[Any], watch: Callable[[], None]) -> bool:
    """Wait for all tasks; return whether they ended by themselves, and not by a signal to this process."""
    import ray

    signals: list[int] = []
    cancelled, pending = False, tasks
    with on_stop_signals(signals.append):
        while pending and len(signals) < 2:  # at the second one, Ray ends the tasks with this process
            if signals and not cancelled:
                cancelled = True
                for task in pending:
                    ray.cancel(task)
            _, pending = ray.wait(pending, num_returns=len(pending), timeout=REFRESH)
            watch()
    return not signals


def status_of(task: Any, log: Path) -> int:
    """Return the exit status of a task that is over; `RESUME` if it was lost as often as it may."""
    import ray

    try:
        return int(ray.get(task))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Stopped):
            return RESUME
        raise UserError(f"launcher=ray: a node can't start the run: {one_line(error.cause)}") from error
    except ray.exceptions.RayError as error:
        print(f"gan: a task was lost: {one_line(error)}; its log is {log}", file=sys.stderr)
        return RESUME


def run(argv: list[str], log: str, variables: dict[str, str]) -> int:
    """Run `gan` with these arguments on a node; return its exit status.

    `ray.cancel` raises KeyboardInterrupt here, between two looks at the process.
    """
    with open(log, "ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-u", "-m", "gan_research", *argv],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=os.environ | variables,
            start_new_session=True,  # Ray kills the process group of a task, and this one writes a checkpoint
            preexec_fn=terminate_with_parent(),
        )
    try:
        status = wait_for(child)
    except KeyboardInterrupt:
        child.terminate()
        return wait_for(child)
    if status == RESUME:
        raise Stopped(f"see {log}")
    return status


def wait_for(child: "subprocess.Popen[bytes]") -> int:
    """Wait for a process, and let signals of Python interrupt that; return its exit status."""
    while True:
        try:
            return child.wait(POLL)
        except subprocess.TimeoutExpired:
            continue
