"""What asks a process to stop, and what it does then."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, and what schedulers send before they end a job."""


@contextmanager
def when_asked(act: Callable[[int], None]) -> Iterator[None]:
    """Inside, what asks this process to stop has `act` called, with the signal's number, instead."""
    before = {number: signal.signal(number, lambda number, frame: act(number)) for number in ASKING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_parent(parent: int | None = None) -> Callable[[], Any] | None:
    """What a child does first, on Linux: ask to be told to stop (SIGTERM) when its parent is gone.

    parent: its process id; None: this process's own.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1
    parent = parent or os.getpid()

    def ask() -> None:
        prctl(set_death_signal, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before
            os.kill(os.getpid(), signal.SIGTERM)

    return ask
