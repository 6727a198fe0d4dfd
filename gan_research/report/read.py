"""Runs, read from wherever they are."""

from collections.abc import Sequence
from pathlib import Path

from gan_research.report.folders import read_folder
from gan_research.report.records import Record
from gan_research.report.wandb_runs import PREFIX, read_project


def read(paths: Sequence[str | Path]) -> tuple[list[Record], list[str]]:
    """The runs of run folders, sweeps, folders of runs at any depth, and "wandb:[ENTITY/]PROJECT"; notes beside.

    Raises a UserError where a path has none.
    """
    records: dict[str, Record] = {}
    notes: list[str] = []
    for path in paths:
        found, told = read_project(str(path)) if str(path).startswith(PREFIX) else read_folder(Path(path))
        notes += told
        for record in found:
            if record.id not in records:
                records[record.id] = record
            elif not same_place(record.source, records[record.id].source):
                notes.append(f"{record.source} is left out: it is a copy of {records[record.id].source}")
    return list(records.values()), list(dict.fromkeys(notes))


def same_place(a: str, b: str) -> bool:
    """Whether two sources are one folder."""
    return a == b or Path(a).resolve() == Path(b).resolve()
