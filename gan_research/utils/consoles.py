"""Consoles of rich."""

from rich.console import Console


def of_width(width: int, console: Console | None = None) -> Console:
    """Return a console, by default of standard output, whose lines have this width without a terminal."""
    console = console or Console()
    return console if console.is_terminal else Console(file=console.file, width=width)
