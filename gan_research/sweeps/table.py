"""The table of a sweep's trials."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan_research.sweeps.progress import last_rows, progress, progress_of
from gan_research.sweeps.sweep import Sweep
from gan_research.sweeps.trials import State, TrialSnapshot
from gan_research.utils.consoles import on_terminal
from gan_research.utils.run_folder import warnings_of

ROWS = 30  # rows of the table during the sweep

STYLES: dict[State, str] = {
    "finished": "green",
    "running": "cyan",
    "failed": "bold red",
    "pruned": "yellow",
    "open": "dim",
}


class SweepTable:
    """A live table on a terminal; elsewhere a line for each trial when it is over."""

    def __init__(self, sweep: Sweep, total: int | None, console: Console | None = None):
        self.sweep, self.total, self.console = sweep, total, console or Console()
        self._live = Live(console=self.console, auto_refresh=False) if on_terminal(self.console) else None
        self._printed: set[int] = set()

    def __enter__(self) -> "SweepTable":
        self._printed = {trial.number for trial in self.sweep.trials() if trial.ended}
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.update(Text(), refresh=True)
            self._live.stop()

    def show(self, trials: list[TrialSnapshot]) -> None:
        """Show the present state of the trials."""
        if self._live is not None:
            self._live.update(self.table(sorted(trials, key=self._rank)[:ROWS], trials), refresh=True)
            return
        ended = {trial.number for trial in trials if trial.trial.ended}
        for trial in trials:
            if trial.number in ended - self._printed:
                self.console.print(self._line(trial, trials), highlight=False, soft_wrap=True)
        self._printed = ended

    def table(self, rows: Sequence[TrialSnapshot], trials: Sequence[TrialSnapshot] | None = None) -> Table:
        """Return a table of these rows; its title counts `trials`, by default the rows."""
        table = Table(title=f"{self.sweep.name}: {self._progress(trials or rows)}", title_justify="left")
        keys = list(dict.fromkeys(key for trial in trials or rows for key in trial.values))
        for column in ("trial", *keys, "state", "rounds"):
            table.add_column(column, overflow="fold")
        if self.sweep.metric is not None:
            table.add_column(self.sweep.metric, justify="right")
        table.add_column("reason", overflow="fold")
        for trial in rows:
            values = [Text(format_value(trial.values.get(key, ""))) for key in keys]
            metric = [Text(last_value(trial))] if self.sweep.metric is not None else []
            state = Text(trial.state, style=STYLES[trial.state])
            table.add_row(
                str(trial.number),
                *values,
                state,
                progress_of(trial, self.sweep.rounds),
                *metric,
                Text(reason_of(trial)),
            )
        return table

    def _progress(self, trials: Sequence[TrialSnapshot]) -> str:
        return progress(trials, self.total, self.sweep.rounds)

    def _line(self, trial: TrialSnapshot, trials: Sequence[TrialSnapshot]) -> str:
        metric = f"  {self.sweep.metric} {last_value(trial)}" if trial.curve else ""
        reason = f": {text}" if (text := reason_of(trial)) else ""
        return f"trial {trial.number} ({trial.text}) {trial.state}{metric}{reason}  [{self._progress(trials)}]"

    def _rank(self, trial: TrialSnapshot) -> tuple[int, float, int]:
        """Return the sort key of a trial: first those that run, then those that failed, then the best."""
        order, sign = ("running", "failed", "open", "finished", "pruned"), -1 if self.sweep.goal == "max" else 1
        return order.index(trial.state), sign * (trial.value or 0.0), trial.number


def format_value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def last_value(trial: TrialSnapshot) -> str:
    return f"{trial.curve[-1][1]:.4g}" if trial.curve else ""


def reason_of(trial: TrialSnapshot) -> str:
    """Return why a trial failed or was stopped; of any other, whether its runs exploded or collapsed."""
    warnings = (warning for run in trial.trial.runs for warning in warnings_of(last_rows(run)))
    return trial.trial.reason or ", ".join(dict.fromkeys(warnings))
