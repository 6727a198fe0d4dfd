"""The place of a process among those that srun started."""

import re
from collections.abc import Mapping


def rank_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What torchrun would have set for this task of a Slurm job step; nothing where there is no step of several tasks.

    The script of a batch job sees SLURM_PROCID=0 and SLURM_NTASKS, too, but is no task: only a step's tasks have
    SLURM_STEP_NUM_TASKS. MASTER_ADDR and MASTER_PORT are kept where they are set.
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
    """The first of a list of hosts as Slurm writes it: node[07-09,12],gpu3 -> node07."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", hosts)
    assert first is not None  # it matches nothing, too
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group())


def port(job: str) -> int:
    """A port that all tasks of a job know, below those that Linux gives out by itself (from 32768)."""
    return 15000 + int(job) % 10000
