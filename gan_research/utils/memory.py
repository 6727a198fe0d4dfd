"""Errors of what is larger than the memory: known beforehand, or of a failed allocation."""

import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from gan_research.utils.errors import UserError, one_line

TOO_LARGE = re.compile("allocate memory|out of memory|overflow", re.IGNORECASE)  # in torch's messages


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Raise a UserError that names what takes too much memory if an allocation fails."""
    try:
        yield
    except (RuntimeError, TypeError, MemoryError, OverflowError) as error:
        if isinstance(error, RuntimeError | TypeError) and not TOO_LARGE.search(one_line(error)):
            raise
        raise UserError(f"{what} takes more memory than there is: {advice}") from error


def require_memory(setting: str, *shape: int) -> None:
    """Raise a UserError naming a setting by which so many bytes exceed this host's memory."""
    size, memory = math.prod(shape) / 2**30, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if size > memory:
        raise UserError(f"{setting} takes {size:,.0f} GiB of memory, and this host has {memory:,.0f}: lower it")
