"""How far an evaluation is: a bar on a terminal, nothing elsewhere."""

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from gan_research.distributed import is_rank_zero


class Rate(ProgressColumn):
    """Samples a second."""

    def render(self, task: Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f}/s", no_wrap=True)


class ProgressBar:
    """A line for each pass over samples, on a terminal, while it lasts."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
        terminal = self.console.is_terminal and is_rank_zero()
        self._bar = Progress(*columns, console=self.console, transient=True, disable=not terminal)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def of(self, what: str) -> Callable[[str, int, int], None]:
        """What an evaluation of `what` tells how far it is."""
        lines: dict[str, TaskID] = {}

        def tell(which: str, done: int, total: int) -> None:
            if which not in lines:
                lines[which] = self._bar.add_task(f"{what}: {which} samples", total=total)
            self._bar.update(lines[which], total=total, completed=done, visible=done < total)

        return tell
