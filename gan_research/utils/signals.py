"""Signals that stop a process."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from gan_research.utils.files import discard

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
"""Ctrl-C, what schedulers send before they end a job, and the end of the terminal."""


@contextmanager
def on_stop_signals(act: Callable[[int], None]) -> Iterator[None]:
    """Replace the handlers of stop signals by `act`, which gets the number of the signal.

    SIGHUP stays ignored if it was (nohup), and only the first one counts: a shell and the kernel send one each.
    """

    def handler(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            discard_lost_output()
        act(number)

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = [number for number in STOP_SIGNALS if not (number == signal.SIGHUP and ignored)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def discard_lost_output() -> None:
    """Discard further output to a terminal that is gone."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")  # EIO after a hangup
        except OSError:
            discard(descriptor)


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
