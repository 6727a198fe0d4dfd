"""The group of processes: how it is joined, who does which part, and what all of them must agree on."""

import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

from gan_research.utils.errors import RESUME, UserError

T = TypeVar("T")

TIMEOUT = 600.0
"""Seconds that processes wait for each other where nothing else is said."""

waiting_for: str | None = None
"""What this process waits for the others in, if it does: a watchdog tells by it who is stuck and who only waits."""

_hosts: list[str] = []
"""The host of each process of the group that `joined` made."""


class LostProcess(UserError):
    """Another process of the group is gone, or didn't answer in time; the run can go on from its last checkpoint."""

    status = RESUME


def backend() -> str:
    """gloo for tensors on the CPU, and for what is agreed there; nccl for those on a GPU."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


@contextmanager
def process_group(timeout: float = TIMEOUT) -> Iterator[None]:
    """Inside, the processes that were started together (RANK, WORLD_SIZE, ... say how) are one group; alone: nothing.

    timeout: seconds after which a process that the others wait for is given up.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or distributed.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    _join(size, timeout)
    try:
        _hosts[:] = all_gather_object(platform.node())
        yield
    finally:
        _hosts.clear()
        distributed.destroy_process_group()


def _join(size: int, timeout: float) -> None:
    address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        distributed.init_process_group(backend(), timeout=timedelta(seconds=timeout))
    except (RuntimeError, ValueError) as error:
        reason = _first_line(error)
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            raise UserError(f"the port of {address} is in use: set MASTER_PORT to a free one") from error
        raise LostProcess(
            f"the {size} processes of this run didn't come together at {address} within {timeout:g} s: "
            f"see whether all were started and can reach it ({reason})"
        ) from error


@contextmanager
def collective(what: str) -> Iterator[None]:
    """Around whatever waits for the other processes: what a broken connection comes to is `LostProcess`."""
    global waiting_for
    waiting_for = what
    try:
        yield
    except RuntimeError as error:  # torch's errors of communication have no narrower class in common
        raise LostProcess(
            f"process {rank_and_world_size()[0]} on {platform.node()} lost another process of this run{_others()}, "
            f"in {what}: {_first_line(error)}"
        ) from error
    finally:
        waiting_for = None


def _others() -> str:
    """Which processes there are beside this one, as far as a line has room for them."""
    found = [f"{rank} on {host}" for rank, host in enumerate(_hosts) if rank != rank_and_world_size()[0]]
    more = f", {len(found) - 8} more" if len(found) > 8 else ""
    return f" ({', '.join(found[:8])}{more})" if found else ""


def _first_line(error: BaseException) -> str:
    """What torch says in its first line, without the place in its source and the advice to read other logs."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    return re.sub(r"^\[\S+:\d+\] |\.? This is typically caused by .*", "", line)


def is_rank_zero() -> bool:
    """Whether this process is the one that shows and writes what all have found."""
    return rank_and_world_size()[0] == 0


def rank_and_world_size() -> tuple[int, int]:
    """This process's rank, and how many processes there are: (0, 1) where no process group was made."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shard(count: int) -> range:
    """This process's part of `count` things: contiguous, in the order of the ranks, each thing in one part."""
    rank, size = rank_and_world_size()
    return range(count * rank // size, count * (rank + 1) // size)


def broadcast_object(value: T) -> T:
    """What the first process holds."""
    if rank_and_world_size()[1] == 1:
        return value
    values = [value]
    with collective("what the first process says"):
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def all_gather_object(value: T) -> list[T]:
    """What each process holds, in the order of the ranks."""
    size = rank_and_world_size()[1]
    values = [value] * size
    if size > 1:
        with collective("what each process says"):
            distributed.all_gather_object(values, value)
    return values


def on_rank_zero(find: Callable[[], T]) -> T:
    """What the first process finds, in all of them; its UserError, too."""
    found: T | None = None
    with raise_on_all_ranks():
        if is_rank_zero():
            found = find()
    return broadcast_object(found)  # type: ignore[return-value]


@contextmanager
def raise_on_all_ranks() -> Iterator[None]:
    """A UserError inside, in any of the processes, is raised by all of them: none waits for one that gave up."""
    mine: UserError | None = None
    try:
        yield
    except UserError as error:
        if rank_and_world_size()[1] == 1 or error.common or isinstance(error, LostProcess):
            raise
        mine = error
    if rank_and_world_size()[1] == 1:
        return
    first = next((error for error in all_gather_object(mine) if error is not None), None)
    if first is not None:
        first.common = True
        raise first from mine


def require_same(facts: Mapping[str, str]) -> None:
    """Raise, in all processes, where one of them says anything else of itself than the first does."""
    (first_host, first), *others = all_gather_object((platform.node(), dict(facts)))
    for rank, (host, other) in enumerate(others, 1):
        for name in {**first, **other}:
            if other.get(name) != first.get(name):
                error = UserError(
                    f"process {rank} on {host} has another {name} than the first on {first_host}: "
                    f"{other.get(name)}, not {first.get(name)}; start all of them alike"
                )
                error.common = True
                raise error
