"""Reading runs from folders and from W&B."""

from collections.abc import Sequence
from pathlib import Path

from gan_research.report.folders import read_folder
from gan_research.report.records import Record
from gan_research.report.wandb_runs import PREFIX, read_project


def read(paths: Sequence[str | Path]) -> tuple[list[Record], list[str]]:
    """Return the runs of run folders, sweeps, folders with runs, and "wandb:[ENTITY/]PROJECT"; and notes.

    Raises a UserError if a path has none.
    """
    records: dict[str, Record] = {}
    notes: list[str] = []
    for path in paths:
        is_project = str(path).startswith(PREFIX)
        found, more = (read_project(str(path)), []) if is_project else read_folder(Path(path))
        notes += more
        for record in found:
            first = records.setdefault(record.id, record).source
            if Path(record.source).resolve() != Path(first).resolve():
                notes.append(f"{record.source} is left out: it is a copy of {first}")
    return list(records.values()), list(dict.fromkeys(notes))
