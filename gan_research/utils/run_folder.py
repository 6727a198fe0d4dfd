"""The layout of a run's folder: names of files, and formats that are read without torch."""

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    Required,  # pydantic needs this TypedDict before Python 3.12
)

import yaml
from filelock import FileLock, Timeout
from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt
from typing_extensions import TypedDict

from gan_research.utils.errors import UserError
from gan_research.utils.ranges import Range
from gan_research.utils.reading import read_json, read_yaml, reading, shaped
from gan_research.utils.renamed import renamed_targets

RUN, CONFIG = "run.json", "config.yaml"  # the start of the run (time, command, machine), and its resolved config
HISTORY, PROTOCOLS = "history.jsonl", "protocols.json"
"""The record of the run, rows with `round` and `kimg`; and the protocols of its metrics.

A row names its run by `run`. A row of metrics names its protocol by a fingerprint; PROTOCOLS maps it to `protocol`,
`better`, which metrics are better low or high, and `ranges`, their least and largest values. Rows of earlier versions
contain the first two themselves, and no `run`.
"""
CHECKPOINTS, LAST, PREVIOUS = "checkpoints", "last.ckpt", "previous.ckpt"
"""The folder of checkpoints, the last one, and the one before it."""
AVERAGES = "averages"  # the folder of snapshots of the generator's averages, each named by its round
SAMPLES, CRASHES = "samples", "crash"  # the folders of sample grids and of crash reports, each named by its round
REAL = "real.png"  # in the folder of sample grids: real samples, laid out as they are
CODES = "codes_"  # the prefix, in that folder, of figures of the codes in a prior
LOCK, PLAYER = ".lock", ".player.json"  # the lock of a run, trial or sweep, and the process that holds a run's
TRIAL, END = "trial.json", "end.json"  # a trial's point in a sweep, and the outcome of each of its processes
WARNINGS = {
    "health/explosion": "exploded",
    "health/collapse": "collapsed",
    "health/no_lipschitz": "no Lipschitz constraint",
}  # a column of a history -> the meaning of 1
CLOCK = "speed/seconds"  # the column of a history with the seconds that all rounds so far took
CLOCKED = ("speed/", "memory/")  # prefixes of columns that differ between two runs of the same game


OWN_FILES = (
    RUN, CONFIG, HISTORY, PROTOCOLS, CHECKPOINTS, AVERAGES, SAMPLES, CRASHES, LOCK, PLAYER, "stuck", "theory",
    ".*.partial", "wandb", "tensorboard", "metrics.csv", "mlflow.db*", "mlruns",
)  # fmt: skip
"""Patterns of the names in a run's folder that a run writes: our files and those of the loggers."""


def was_started(folder: Path) -> bool:
    """Return whether a run was started in its folder; studies of the theory create one, too."""
    return (folder / LOCK).is_file()


def of_round(round: int, suffix: str) -> str:
    """Return the name of a file that is written after a round: round_00000050.png."""
    return f"round_{round:08d}{suffix}"


def by_round(folder: Path, suffix: str) -> dict[int, Path]:
    """Return round -> file of the files in `folder` that are named by rounds."""
    found = sorted(folder.glob(f"round_*{suffix}"))
    return {int(number): path for path in found if (number := path.stem.removeprefix("round_")).isdecimal()}


class Protocol(TypedDict, total=False):
    """The protocol of metrics, of any version; their own settings are by name."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    settings: dict[str, Any] | None


class Measured(TypedDict, total=False):
    """The protocol of a row's metrics, their better directions, and their ranges."""

    protocol: Protocol
    better: dict[str, Literal["min", "max"]]
    ranges: dict[str, Range]


MEASURED = tuple(Measured.__annotations__)


class Row(TypedDict, total=False):
    """A row of a history; other fields are its columns."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    run: str
    round: Required[NonNegativeInt]
    kimg: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    protocol: str | Protocol
    better: dict[str, Literal["min", "max"]]
    ranges: dict[str, Range]


class Player(TypedDict):
    """The process that holds a run's lock."""

    host: str
    pid: PositiveInt
    since: str


class Identity(TypedDict, total=False):
    """The field of a run's record that names it."""

    id: str


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a history as written; a last line cut short by a kill is left out.

    Raises a UserError at the first other line that is damaged, or is a row of another run than the folder's.
    """
    own = run_id(path.parent)
    with reading(path):
        *lines, last = path.read_bytes().split(b"\n")
    with suppress(json.JSONDecodeError, UnicodeDecodeError):  # of a line cut short
        with suppress(RecursionError):  # of a damaged one
            json.loads(last)
        lines.append(last)
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number},"
        with reading(where, "; delete the line to continue without it"):
            row = json.loads(line)
            shaped(row, Row)
        require_own(where, row.get("run"), path.parent, own)
        yield renamed_targets(row)


def read_history(path: Path) -> Iterator[dict[str, Any]]:
    """Return the rows of a history, without `run`, with `protocol`, `better` and `ranges`."""
    known = read_protocols(path.parent)
    for row in read_rows(path):
        row.pop("run", None)
        if isinstance(mark := row.get("protocol"), str):
            del row["protocol"]
            row |= known.get(mark, {})
        yield row


def measured_at(run: Path, round: int) -> list[dict[str, Any]]:
    """Return a run's metrics after a round, and how each evaluation measured them."""
    found = []
    for row in read_history(run / HISTORY):
        if row["round"] == round and "better" in row:
            metrics = {name.removeprefix("metrics/"): row[name] for name in row if name.startswith("metrics/")}
            found.append({"metrics": metrics, **{key: row[key] for key in MEASURED if key in row}})
    return found


def read_protocols(folder: Path) -> dict[str, Any]:
    """Return the protocols of a run by their fingerprints; {} if there is no file of them."""
    path = folder / PROTOCOLS
    return renamed_targets(read_json(path, dict[str, Measured])) if path.is_file() else {}


OWNER = "# run "  # the beginning of the line of a config that names its run


def config_text(config: dict[str, Any], run: str) -> str:
    """Return the content of a run's config.yaml."""
    return f"{OWNER}{run}\n{yaml.safe_dump(config, sort_keys=False)}"


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config in a run's folder; a UserError if it can't be read, or is of another run."""
    path = folder / CONFIG
    config = read_yaml(path)
    with path.open(encoding="utf-8") as file:
        owner = file.readline().strip().partition(OWNER)[2]
    require_own(path, owner or None, folder, run_id(folder))
    return config


def run_id(folder: Path) -> str | None:
    """Return the identity of the run in a folder; None if it isn't known."""
    with suppress(UserError):
        return read_json(folder / RUN, Identity).get("id")
    return None


def require_own(what: str | Path, owner: str | None, folder: Path, own: str | None) -> None:
    """Raise a UserError if a file in a run's folder is of another run; files of earlier versions name none."""
    if owner is not None and own is not None and owner != own:
        raise UserError(f"{what} is of run {owner}, and {folder} is run {own}: put back the run's own file")


def leaves(config: dict[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (full name, value) of each setting of a run's config: ("optimizer.generator.lr", 0.001)."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value


def warnings_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the warnings of the first row that has any of their columns; rows come last first."""
    for row in rows:
        if any(column in row for column in WARNINGS):
            return [word for column, word in WARNINGS.items() if row.get(column) == 1]
    return []


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row without its times, rates and memory: equal for two runs of the same game."""
    return {key: value for key, value in row.items() if not key.startswith(CLOCKED)}


@contextmanager
def one_process_in(folder: Path) -> Iterator[None]:
    """Make a folder, and wait until no other process is in this context with it."""
    with ExitStack() as held:
        with suppress(OSError):  # the folder can't be made: whoever writes into it reports why
            folder.mkdir(parents=True, exist_ok=True)
            held.callback(os.close, handle := os.open(folder, os.O_RDONLY))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
            except OSError:  # NFS locks no folders
                held.enter_context(FileLock(folder / LOCK))
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock of a file; True if that can't be tried.

    The lock is taken for a moment: no other process may try to get it meanwhile.
    """
    if not path.is_file():
        return False
    try:
        with FileLock(path).acquire(blocking=False):
            return False
    except (Timeout, OSError, NotImplementedError):
        return True
