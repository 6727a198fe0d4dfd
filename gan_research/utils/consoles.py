"""Consoles of rich."""

from rich.console import Console


def of_width(width: int, console: Console | None = None) -> Console:
    """Return a console whose lines have this width without a terminal.

    Its default is one of standard output.
    """
    console = console or Console()
    return console if console.is_terminal else Console(file=console.file, width=width)
