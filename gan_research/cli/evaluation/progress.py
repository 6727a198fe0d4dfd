"""The progress bar of an evaluation, shown on a terminal only."""

from collections.abc import Callable

from rich import progress
from rich.console import Console
from rich.text import Text

from gan_research.distributed import is_rank_zero
from gan_research.utils.consoles import on_terminal


class Rate(progress.ProgressColumn):
    """A column of samples per second."""

    def render(self, task: progress.Task) -> Text:
        rate = task.finished_speed or task.speed
        return Text("" if rate is None else f"{rate:,.0f}/s", no_wrap=True)


class ProgressBar:
    """A line for each pass over samples in progress."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        counts = progress.TextColumn("{task.description}"), progress.BarColumn(20), progress.MofNCompleteColumn()
        columns = (*counts, Rate(), progress.TimeRemainingColumn())
        terminal = on_terminal(self.console) and is_rank_zero()
        self._bar = progress.Progress(*columns, console=self.console, transient=True, disable=not terminal)

    def __enter__(self) -> "ProgressBar":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def of(self, subject: str) -> Callable[[str, int, int], None]:
        """Return the `Progress` callback of an evaluation of `subject`."""
        lines: dict[str, progress.TaskID] = {}

        def update(kind: str, done: int, total: int) -> None:
            if kind not in lines:
                lines[kind] = self._bar.add_task(f"{subject}: {kind} samples", total=total)
            self._bar.update(lines[kind], total=total, completed=done, visible=done < total)

        return update
