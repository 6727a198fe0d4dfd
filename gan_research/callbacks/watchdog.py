"""Reports of a process that is stuck, and of its continuation."""

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

_last: tuple[float, str] = (time.monotonic(), "nothing yet")  # the time of the last heartbeat, and the activity since


def heartbeat(activity: str) -> None:
    """Note that the process is alive, and what it does from now on."""
    global _last
    _last = time.monotonic(), activity


class Watchdog:
    """A daemon thread that reports `stuck_after` seconds without a heartbeat, and their end.

    A report goes to standard error and to `folder`/rank_N.txt: the process's activity, the ranks that it waits for, and
    the stacks of all its threads.
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
        """Stop reporting; a report that is being written has a second."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _watch(self) -> None:
        stuck: tuple[float, str] | None = None
        pause = self.stuck_after
        while not self._ended.wait(pause):
            last, now = _last, time.monotonic()
            if stuck is not None and last is not stuck:
                self._write(f"{who()} continues after {last[0] - stuck[0]:.1f} s, with {last[1]}\n")
                stuck = None
            if stuck is None and now - last[0] >= self.stuck_after:
                stuck = last
                self._write(report(last[1], now - last[0]))
            pause = self._poll if stuck is not None else max(self._poll, last[0] + self.stuck_after - now)

    def _write(self, text: str) -> None:
        with suppress(Exception):  # closed
            print(text, end="", file=sys.stderr, flush=True)
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)


def who() -> str:
    """Return the time, rank, host and id of this process."""
    rank, size = rank_and_world_size()
    return f"gan: {time.strftime('%H:%M:%S')} rank {rank} of {size} ({platform.node()}, process {os.getpid()})"


def report(activity: str, seconds: float) -> str:
    """Return a report: the activity of the stuck process, and its stacks."""
    waits = f"; it waits for the other ranks: {group.waiting_for}" if group.waiting_for else ""
    return f"{who()} is stuck: {seconds:.1f} s in {activity}{waits}\n{stacks()}"


def stacks() -> str:
    """Return the stacks of all threads, the most recent call first."""
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:  # faulthandler writes to nothing but files
            faulthandler.dump_traceback(file, all_threads=True)
            file.seek(0)
            return file.read()
    except OSError as error:
        return f"its stacks are not available: {error}\n"
