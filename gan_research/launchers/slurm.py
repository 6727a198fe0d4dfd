"""A run as a job of a Slurm cluster, submitted by submitit."""

import contextlib
import io
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveInt

from gan_research.launchers.base import Job, Launcher, number_of, require_no_ranks
from gan_research.launchers.task import Task
from gan_research.utils.errors import UserError, import_extra

Name = Annotated[str, Field(min_length=1)] | None


class Slurm(Launcher):
    """A Slurm job for a run, with one task for each process.

    nodes, tasks_per_node: None: trainer.num_nodes and trainer.devices.
    gpus_per_node: None: one for each task, unless trainer.accelerator=cpu.
    memory: of each node, in the format of sbatch's --mem: "64G".
    minutes: the limit of each start; signal_seconds before it the run writes a checkpoint, and is requeued.
    max_requeues: the most requeues, for any reason.
    parameters: further options of sbatch, without their dashes: {"mail-type": "END", "exclusive": True}.
    setup: lines of shell that are run first on the first node: ["module load cuda"].
    """

    def __init__(
        self,
        folder: str,
        nodes: PositiveInt | None = None,
        tasks_per_node: PositiveInt | None = None,
        gpus_per_node: NonNegativeInt | None = None,
        cpus_per_task: PositiveInt = 4,
        memory: Name | PositiveInt = None,
        minutes: PositiveInt = 1440,
        partition: Name = None,
        account: Name = None,
        qos: Name = None,
        constraint: Name = None,
        signal_seconds: PositiveInt = 120,
        max_requeues: NonNegativeInt = 20,
        parameters: dict[str, str | int | bool] | None = None,
        setup: list[str] | None = None,
    ) -> None:
        self.folder = Path(folder) / "%j"
        self.nodes, self.tasks_per_node, self.gpus_per_node = nodes, tasks_per_node, gpus_per_node
        self.cpus_per_task, self.memory, self.minutes = cpus_per_task, memory, minutes
        self.partition, self.account, self.qos, self.constraint = partition, account, qos, constraint
        self.signal_seconds, self.max_requeues = signal_seconds, max_requeues
        self.parameters, self.setup = parameters or {}, setup or []
        if 60 * minutes <= signal_seconds:
            raise UserError(
                f"launcher.signal_seconds={signal_seconds} isn't less than launcher.minutes={minutes}: give more time"
            )

    def check(self) -> None:
        require_no_ranks("slurm")
        import_submitit()

    def submit(self, jobs: Sequence[Job], watch: Callable[[], None]) -> int:
        self.check()
        for job in jobs:
            self._submit(job)
        return 0

    def _submit(self, job: Job) -> None:
        parameters = self.submitit_parameters(job)
        command = [sys.executable, "-u", "-m", "gan_research", *job.argv]
        submitit = import_submitit()
        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=self.max_requeues)
        executor.update_parameters(**parameters)
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # it prints sbatch's message as well
                submitted = executor.submit(Task(command, self.max_requeues))
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UserError(f"sbatch didn't take the job: {error}") from error
        log = submitted.paths.stdout
        print(f"job {submitted.job_id}\nlogs {log.parent}")
        print(f"follow it: squeue -j {submitted.job_id}; tail -F {shlex.quote(str(log))}")

    def submitit_parameters(self, job: Job) -> dict[str, Any]:
        """Return submitit's parameters for the job."""
        nodes, tasks, gpus = self.size(job)
        sbatch = {key: value for key, value in self.parameters.items() if value is not False}
        same = {name: getattr(self, name) for name in ("cpus_per_task", "partition", "account", "qos", "constraint")}
        parameters = same | {
            "job_name": job.name,
            "comment": shlex.join(["gan", *job.argv]),
            "nodes": nodes,
            "ntasks_per_node": tasks,
            "gpus_per_node": gpus or None,
            "mem": self.memory,
            "time": self.minutes,
            "signal_delay_s": self.signal_seconds,
            "additional_parameters": {"requeue": True, **sbatch},
            "setup": self.setup or None,
            "stderr_to_stdout": True,
            # a task that fails ends the others at once, even those that wait for the requeue
            "srun_args": ["--kill-on-bad-exit=1", f"--cpus-per-task={self.cpus_per_task}"],
        }
        return {key: value for key, value in parameters.items() if value is not None}

    def size(self, job: Job) -> tuple[int, int, int]:
        """Return the nodes, and tasks and GPUs per node; raise a UserError if the trainer has other processes."""
        trainer = job.trainer if job.processes is None else job.trainer | {"devices": 1, "num_nodes": 1}
        devices = number_of(trainer.get("devices"))
        num_nodes = trainer.get("num_nodes", 1)
        nodes = self.nodes or num_nodes
        tasks = self.tasks_per_node or devices or self.gpus_per_node
        if not tasks:
            raise UserError(
                f"trainer.devices={trainer.get('devices')} doesn't specify the number of processes: "
                "give a number, or launcher.tasks_per_node"
            )
        if (devices and devices * num_nodes != tasks * nodes) or num_nodes != nodes:
            raise UserError(
                f"the job would be {nodes} x {tasks} tasks (launcher.nodes x launcher.tasks_per_node), the trainer has "
                f"{num_nodes} x {devices or 'any'} devices (trainer.num_nodes x trainer.devices): make them equal"
            )
        on_gpus = trainer.get("accelerator", "auto") != "cpu"
        gpus = self.gpus_per_node if self.gpus_per_node is not None else (job.processes or tasks) if on_gpus else 0
        if 0 < gpus < tasks:
            raise UserError(
                f"launcher.gpus_per_node={gpus} is less than the {tasks} tasks of a node: each task needs one"
            )
        return nodes, tasks, gpus


def import_submitit() -> Any:
    """Import submitit; raise a UserError if jobs can't be submitted from this machine."""
    submitit = import_extra("submitit", "slurm", "launcher=slurm")
    for command in ("sbatch", "srun"):
        if shutil.which(command) is None:
            raise UserError(
                f"launcher=slurm: this machine has no {command}: submit from a login node of the cluster, or leave "
                "launcher=slurm out to train here"
            )
    return submitit
