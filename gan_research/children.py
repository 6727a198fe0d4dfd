"""Processes that this one starts: they don't outlive it."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Any


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
