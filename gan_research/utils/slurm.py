"""The rank of a process that srun started."""

import re
from collections.abc import Mapping


def rank_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return torchrun's variables for this task of a Slurm job step; {} unless the step has several tasks.

    The script of a batch job gets SLURM_PROCID=0 and SLURM_NTASKS as well, but only the tasks of a step get
    SLURM_STEP_NUM_TASKS. MASTER_ADDR and MASTER_PORT are kept if they are set.
    """
    size = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if "RANK" in environment or "SLURM_PROCID" not in environment or int(size) == 1:
        return {}
    hosts = environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"]
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": size,
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "GROUP_RANK": environment["SLURM_NODEID"],
        "MASTER_ADDR": environment.get("MASTER_ADDR") or first_host(hosts),
        "MASTER_PORT": environment.get("MASTER_PORT") or str(port(environment["SLURM_JOB_ID"])),
    }


def first_host(hosts: str) -> str:
    """Return the first host of a list in Slurm's format: node[07-09,12],gpu3 -> node07."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", hosts)
    assert first is not None  # it matches the empty string
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group())


def port(job: str) -> int:
    """Return a port for all tasks of a job, below Linux's ephemeral ports (from 32768)."""
    return 15000 + int(job) % 10000
