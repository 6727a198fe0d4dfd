"""Several processes that share one piece of work: who does which part, and what all of them must agree on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import distributed

from gan_research.errors import UserError

T = TypeVar("T")


@contextmanager
def joined() -> Iterator[None]:
    """Inside, the processes that torchrun (or srun, by the same variables) started are one group; alone: nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")
    try:
        yield
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that shows and writes what all have found."""
    return position()[0] == 0


def position() -> tuple[int, int]:
    """This process's rank, and how many processes there are: (0, 1) where no process group was made."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def share(count: int) -> range:
    """This process's part of `count` things: contiguous, in the order of the ranks, each thing in one part."""
    rank, size = position()
    return range(count * rank // size, count * (rank + 1) // size)


def from_first(value: T) -> T:
    """What the first process holds."""
    if position()[1] == 1:
        return value
    values = [value]
    distributed.broadcast_object_list(values, src=0)
    return values[0]


@contextmanager
def failing_together() -> Iterator[None]:
    """A UserError inside, in any of the processes, is raised by all of them: none waits for one that gave up."""
    message = None
    try:
        yield
    except UserError as error:
        if position()[1] == 1:
            raise
        message = str(error)
    if position()[1] == 1:
        return
    messages: list[str | None] = [None] * position()[1]
    distributed.all_gather_object(messages, message)
    if first := next((m for m in messages if m is not None), None):
        raise UserError(first)
