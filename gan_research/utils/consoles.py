"""Consoles of rich."""

from rich.console import Console


def on_terminal(console: Console) -> bool:
    """Return whether lines can be drawn again.

    FORCE_COLOR, which Jupyter sets, gives a pipe colours, but its lines stay.
    """
    return console.is_terminal and console.file.isatty()


def of_width(width: int, console: Console | None = None) -> Console:
    """Return a console whose lines have this width without a terminal.

    Its default is one of standard output.
    """
    console = console or Console()
    return console if on_terminal(console) else Console(file=console.file, width=width)
