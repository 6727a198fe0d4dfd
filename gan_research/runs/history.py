"""The record of a run: a JSONL of metrics in its folder, which other loggers mirror."""

import json
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from gan_research.metrics.protocol import fingerprint
from gan_research.runs.run import Run
from gan_research.utils.files import write_atomically
from gan_research.utils.run_folder import HISTORY, MEASURED, PROTOCOLS, read_protocols, read_rows


class FileLogger(Logger):
    """A logger that writes one file into the run's folder."""

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Do nothing, unless overridden."""


class History(FileLogger):
    """history.jsonl: one row per entry, each with its `round` and `kimg`; protocols.json: each protocol once."""

    takes_protocols = True

    def __init__(self, run: Run):
        super().__init__()
        self.path, self.run = run.folder / HISTORY, run.id

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        how = {key: metrics[key] for key in MEASURED if key in metrics}
        if how:
            mark = fingerprint(how)
            metrics = {key: value for key, value in metrics.items() if key not in how} | {"protocol": mark}
            known = read_protocols(self.path.parent)
            if mark not in known:  # written before the row that needs it
                content = json.dumps(known | {mark: how}, indent=1) + "\n"
                write_atomically(self.path.parent / PROTOCOLS, content.encode())
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"run": self.run, **metrics}) + "\n")

    @rank_zero_only
    def cut(self, round: int) -> None:
        """Drop the rows after `round`, from which the run is resumed."""
        if self.path.exists():
            rows = [json.dumps(row) for row in read_rows(self.path) if row["round"] <= round]
            write_atomically(self.path, "".join(row + "\n" for row in rows).encode())
