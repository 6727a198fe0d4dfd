"""The process group: its start, ranks, shards of work, and agreement between ranks."""

import atexit
import logging
import os
import platform
import re
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Thread
from typing import TypeVar

import torch
from torch import distributed

from gan_research.utils.errors import RESUME, UserError
from gan_research.utils.ranks import ADVICE

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT = 600.0  # the default of the seconds that processes wait for each other
PATIENCE = 5.0  # the seconds after which a process tells what it waits for
waiting_for: str | None = None
"""The collective in which this process waits for the others, if any: a watchdog reports it."""
_hosts: list[str] = []  # the host of each process of the group that `process_group` made


class LostProcess(UserError):
    """Another process ended or didn't answer in time; the run can be resumed from its last checkpoint."""

    status = RESUME


def backend() -> str:
    """Return the backends: gloo for tensors on the CPU, nccl for tensors on a GPU."""
    return "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"


@contextmanager
def process_group(timeout: float = TIMEOUT, command: Sequence[str] = ()) -> Iterator[None]:
    """Make one group of the processes that were started together (RANK, WORLD_SIZE, ...), if there are several.

    timeout: seconds after which a process that doesn't answer counts as lost. command: has to be the same for all.
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
        require_same({"command": shlex.join(command)})  # others would meet in different collectives
        yield
    finally:
        _hosts.clear()
        distributed.destroy_process_group()


def _join(size: int, timeout: float) -> None:
    address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
    try:
        store, rank, size = _meet(f"the {size} processes of this run at {address}", timeout)
        limit = timedelta(seconds=timeout)
        store.set_timeout(limit)
        distributed.init_process_group(backend(), store=store, rank=rank, world_size=size, timeout=limit)
    except (RuntimeError, ValueError, TimeoutError) as error:
        reason = "" if isinstance(error, TimeoutError) else f" ({_first_line(error)})"
        if "EADDRINUSE" in str(error) or "address already in use" in str(error):
            raise UserError(f"the port of {address} is in use: set MASTER_PORT to a free one") from error
        raise LostProcess(
            f"the {size} processes of this run didn't come together at {address} within {timeout:g} s: "
            f"check that all were started and can reach it{reason}"
        ) from error


def _meet(what: str, timeout: float) -> tuple[distributed.Store, int, int]:
    """Return the store, rank and world size that the environment defines.

    torch is called in a thread: torch waits without a limit for a program that accepts a connection and is silent.
    """
    met: Future[tuple[distributed.Store, int, int]] = Future()

    def meet() -> None:
        try:
            met.set_result(next(distributed.rendezvous("env://", timeout=timedelta(seconds=2 * timeout + 60))))
        except Exception as error:
            met.set_exception(error)

    Thread(target=meet, daemon=True).start()
    try:
        with suppress(TimeoutError):
            return met.result(min(PATIENCE, timeout))
        if timeout > PATIENCE:
            variables = " ".join(f"{name}={os.environ.get(name)}" for name in ("RANK", "WORLD_SIZE"))
            log.warning("waiting for %s: %s are set; if another program set them, %s", what, variables, ADVICE)
        return met.result(max(timeout - PATIENCE, 0))
    except (TimeoutError, KeyboardInterrupt) as error:
        if not met.done():  # a thread that is still in torch would abort the process at its end
            atexit.register(os._exit, RESUME if isinstance(error, TimeoutError) else 128 + signal.SIGINT)
        raise


@contextmanager
def collective(what: str) -> Iterator[None]:
    """Turn a broken connection into `LostProcess`, while this process waits for the others in `what`."""
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
    """Return up to 8 of the other processes, for one line."""
    found = [f"{rank} on {host}" for rank, host in enumerate(_hosts) if rank != rank_and_world_size()[0]]
    more = f", {len(found) - 8} more" if len(found) > 8 else ""
    return f" ({', '.join(found[:8])}{more})" if found else ""


def _first_line(error: BaseException) -> str:
    """Return the first line of torch's message, without source position and advice on logs."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    return re.sub(r"^\[\S+:\d+\] |\.? This is typically caused by .*", "", line)


def is_rank_zero() -> bool:
    """Return whether this process is the one that prints and writes."""
    return rank_and_world_size()[0] == 0


def rank_and_world_size() -> tuple[int, int]:
    """Return the rank of this process and the number of processes: (0, 1) without a process group."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def shard(count: int) -> range:
    """Return this rank's contiguous part of `count` things, in the order of the ranks."""
    rank, size = rank_and_world_size()
    return range(count * rank // size, count * (rank + 1) // size)


def broadcast_object(value: T) -> T:
    """Return the object of rank zero."""
    if rank_and_world_size()[1] == 1:
        return value
    values = [value]
    with collective("a broadcast from the first process"):
        distributed.broadcast_object_list(values, src=0)
    return values[0]


def all_gather_object(value: T) -> list[T]:
    """Return the objects of all ranks, in their order."""
    size = rank_and_world_size()[1]
    values = [value] * size
    if size > 1:
        with collective("a gathering of all processes"):
            distributed.all_gather_object(values, value)
    return values


def on_rank_zero(find: Callable[[], T]) -> T:
    """Return the result of rank zero on all ranks; raise its UserError on all."""
    found: T | None = None
    with raise_on_all_ranks():
        if is_rank_zero():
            found = find()
    return broadcast_object(found)  # type: ignore[return-value]


@contextmanager
def raise_on_all_ranks() -> Iterator[None]:
    """Raise a UserError of any rank on all ranks, so that none waits for it."""
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
    """Raise a UserError on all ranks if the facts of one differ from rank zero's."""
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
