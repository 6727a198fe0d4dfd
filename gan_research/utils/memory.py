"""The error of an allocation that is larger than the memory."""

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
