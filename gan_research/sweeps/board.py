"""What people see of a sweep while it is played, and what it came to."""

import json
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gan_research.sweeps.sweep import Sweep
from gan_research.sweeps.trials import Seen, State, TrialRun
from gan_research.utils.run_folder import HISTORY

ROWS = 30
"""Rows of the table while the sweep is played: first what runs, then what failed, then the best."""

STYLES: dict[State, str] = {
    "finished": "green",
    "running": "cyan",
    "failed": "bold red",
    "pruned": "yellow",
    "open": "dim",
}


class Board:
    """On a terminal a table that is kept up to date; elsewhere a line for each trial that comes to its end."""

    def __init__(self, sweep: Sweep, total: int | None, console: Console | None = None):
        self.sweep, self.total, self.console = sweep, total, console or Console()
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._told: set[int] = set()

    def __enter__(self) -> "Board":
        self._told = {trial.number for trial in self.sweep.trials() if trial.ended}
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.update(Text(), refresh=True)
            self._live.stop()

    def show(self, trials: list[Seen]) -> None:
        """The trials as they are now."""
        if self._live is not None:
            self._live.update(self.table(trials, ROWS), refresh=True)
            return
        over = {trial.number for trial in trials if trial.trial.ended}
        for trial in trials:
            if trial.number in over - self._told:
                self.console.print(self._line(trial, trials), highlight=False, soft_wrap=True)
        self._told = over

    def table(self, trials: Sequence[Seen], rows: int | None = None) -> Table:
        """A row for each trial, or for those that matter most; how many there are of each state is the title."""
        table = Table(title=f"{self.sweep.name}: {self.counts(trials)}", title_justify="left")
        keys = list(dict.fromkeys(key for trial in trials for key in trial.values))
        for column in ("trial", *keys, "state", "rounds"):
            table.add_column(column, overflow="fold")
        if self.sweep.metric is not None:
            table.add_column(self.sweep.metric, justify="right")
        table.add_column("reason", overflow="fold")
        shown = self._by_importance(trials)[:rows] if rows is not None else trials
        for trial in shown:
            table.add_row(*self._cells(trial, keys))
        return table

    def counts(self, trials: Sequence[Seen]) -> str:
        """ "12 trials: 5 finished, 2 running, 1 failed, 4 to come"."""
        states = Counter(trial.state for trial in trials)
        known = [f"{states[state]} {state}" for state in STYLES if states[state]]
        if self.total is not None and self.total > len(trials):
            known.append(f"{self.total - len(trials)} to come")
        return f"{max(self.total or 0, len(trials))} trials: {', '.join(known) or 'none yet'}"

    def _line(self, trial: Seen, trials: Sequence[Seen]) -> str:
        point = " ".join(f"{key}={value}" for key, value in trial.values.items())
        measured = f"  {self.sweep.metric} {trial.curve[-1][1]:.4g}" if trial.curve else ""
        reason = f": {trial.trial.reason}" if trial.trial.reason else ""
        return f"trial {trial.number} ({point}) {trial.state}{measured}{reason}  [{self.counts(trials)}]"

    def _cells(self, trial: Seen, keys: list[str]) -> list[Text]:
        values = [short(trial.values.get(key, "")) for key in keys]
        measured = [f"{trial.curve[-1][1]:.4g}" if trial.curve else ""] if self.sweep.metric is not None else []
        state = Text(trial.state, style=STYLES[trial.state])
        cells: list[str | Text] = [
            str(trial.number),
            *values,
            state,
            self._rounds(trial),
            *measured,
            trial.trial.reason or "",
        ]
        return [cell if isinstance(cell, Text) else Text(cell) for cell in cells]

    def _rounds(self, trial: Seen) -> str:
        played = [str(last_round(run)) for run in trial.trial.runs if run.folder.is_dir()]
        total = f"/{self.sweep.rounds:,}" if self.sweep.rounds is not None else ""
        return ", ".join(f"{int(rounds):,}{total}" for rounds in played)

    def _by_importance(self, trials: Sequence[Seen]) -> list[Seen]:
        order = {"running": 0, "failed": 1, "open": 2, "finished": 3, "pruned": 4}
        sign = -1 if self.sweep.goal == "max" else 1

        def importance(trial: Seen) -> tuple[int, float, int]:
            return order[trial.state], sign * trial.value if trial.value is not None else 0.0, trial.number

        return sorted(trials, key=importance)


def short(value: object) -> str:
    """A number to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def last_round(run: TrialRun) -> int:
    """How many rounds a run has logged."""
    home = run.home()
    if home is None or not (history := home / HISTORY).is_file():
        return 0
    with history.open("rb") as file:
        file.seek(max(0, history.stat().st_size - 65_536))
        lines = file.read().splitlines()
    for line in reversed(lines):
        try:
            return int(json.loads(line)["round"])
        except (ValueError, KeyError, TypeError):  # being written
            continue
    return 0
