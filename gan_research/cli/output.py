"""Standard output and error of the commands: characters they can't show, a closed pipe, a full disk."""

import io
import os
import select
import sys
from contextlib import suppress

from gan_research.utils.files import discard


def prepare() -> None:
    """Let standard output show "?" for what it has no character for; replace closed streams."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def is_unread() -> bool:
    """Return whether standard output is a pipe that no process reads any more."""
    poll = select.poll()
    with suppress(OSError, ValueError):  # no file
        poll.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def report(line: str) -> None:
    """Print a line to standard error, if it can be written."""
    with suppress(OSError):
        print(line, file=sys.stderr)
    discard_rest()


def discard_rest() -> None:
    """Discard what the streams can't write: Python would try again at its end, and change the exit status."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream.fileno())
