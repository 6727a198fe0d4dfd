"""Says where a process is stuck, and that it goes on: to people, who can't see into a process that says nothing."""

import faulthandler
import os
import platform
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from gan_research.distributed import group, rank_and_world_size

_sign: tuple[float, str] = (time.monotonic(), "nothing yet")
"""When the process last gave a sign of life, and what it has been doing since."""


def alive(doing: str) -> None:
    """The process goes on, from now with `doing`."""
    global _sign
    _sign = time.monotonic(), doing


class Watchdog:
    """A thread that reports a process which gave no sign of life for `stuck_after` seconds: once, and when it goes on.

    A report goes to standard error and to `folder`/rank_N.txt: what the process has been doing, which others it waits
    for, and the stacks of all its threads. The thread is a daemon, and holds nothing up.
    """

    def __init__(self, folder: Path, stuck_after: float):
        self.stuck_after = stuck_after
        self.path = folder / f"rank_{rank_and_world_size()[0]}.txt"
        self._poll = min(1.0, stuck_after / 10)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No more reports; one that is being written has a second to come to its end."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _watch(self) -> None:
        stuck: tuple[float, str] | None = None
        pause = self.stuck_after
        while not self._ended.wait(pause):
            sign, now = _sign, time.monotonic()
            if stuck is not None and sign is not stuck:
                self._write(f"{who()} goes on after {sign[0] - stuck[0]:.1f} s, with {sign[1]}\n")
                stuck = None
            if stuck is None and now - sign[0] >= self.stuck_after:
                stuck = sign
                self._write(report(sign[1], now - sign[0]))
            pause = self._poll if stuck is not None else max(self._poll, sign[0] + self.stuck_after - now)

    def _write(self, text: str) -> None:
        with suppress(Exception):  # closed, or redirected to what is gone
            print(text, end="", file=sys.stderr, flush=True)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(text)


def who() -> str:
    """This process, as people find it."""
    rank, size = rank_and_world_size()
    return f"gan: {time.strftime('%H:%M:%S')} rank {rank} of {size} ({platform.node()}, process {os.getpid()})"


def report(doing: str, seconds: float) -> str:
    """One line that says what the process is stuck in, and the stacks of its threads."""
    waits = f"; it waits for the other ranks: {group.waiting_for}" if group.waiting_for else ""
    return f"{who()} is stuck: {seconds:.1f} s in {doing}{waits}\n{stacks()}"


def stacks() -> str:
    """The stacks of all threads, the most recent call first."""
    try:
        with tempfile.TemporaryFile("w+") as file:  # faulthandler writes to nothing but files
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read()
    except OSError as error:
        return f"its stacks can't be shown: {error}\n"
