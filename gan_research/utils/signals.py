"""Signals that stop a process."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""Ctrl-C, and what schedulers send before they end a job."""


@contextmanager
def on_stop_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Replace the handlers of stop signals by `act`, which gets the number of the signal."""
    before = {number: signal.signal(number, lambda number, frame: act(number)) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def terminate_with_parent(parent: int | None = None) -> Callable[[], Any] | None:
    """Return a function for a child process to get SIGTERM when its parent ends; None if this isn't Linux.

    parent: the process id of the parent; None: this process.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl, set_death_signal = ctypes.CDLL(None).prctl, 1
    parent = parent or os.getpid()

    def set_signal() -> None:
        prctl(set_death_signal, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before
            os.kill(os.getpid(), signal.SIGTERM)

    return set_signal
