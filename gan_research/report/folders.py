"""Runs read from their folders: alone, in a folder of runs, or in a sweep."""

import contextlib
import os
import platform
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from gan_research.config.upgrade import upgraded, upgraded_choices
from gan_research.report.records import Record, State, last_round
from gan_research.utils.errors import UserError, one_line
from gan_research.utils.reading import read_json, reading
from gan_research.utils.run_folder import (
    CONFIG,
    CRASHES,
    END,
    HISTORY,
    LOCK,
    PLAYER,
    RUN,
    SAMPLES,
    TRIAL,
    Player,
    by_round,
    is_locked,
    read_config,
    read_history,
)

T = TypeVar("T")

SILENT = 3600.0  # seconds without an entry after which a run of another host counts as stopped
STATES: dict[str, State] = {"finished": "stopped", "failed": "failed", "killed": "failed"}
"""Status of a sweep's process -> state of its unfinished run; stopped for any other."""


def read_folder(folder: Path) -> tuple[list[Record], list[str]]:
    """Return the runs in `folder`, at any depth, and a sweep's that never began; and notes.

    Raises a UserError if there are none.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give run folders, sweep folders or folders of runs")
    found = sorted(walk(folder))
    notes: list[str] = []
    records = [read_run(path) for path in last_attempts(found, notes)]
    records += [record for path in found if (record := read_unbegun(path)) is not None]
    if not records:
        raise UserError(f"there are no runs in {folder}: a run is a folder with a {RUN}")
    return records, notes


def walk(folder: Path) -> Iterator[Path]:
    """Yield the folders of runs and of sweeps' processes, at any depth."""
    for root, folders, files in os.walk(folder):
        if RUN in files or (Path(root).parent / TRIAL).is_file():
            yield Path(root)
        if RUN in files:
            folders.clear()  # nothing inside of a run is another run


def last_attempts(folders: list[Path], notes: list[str]) -> list[Path]:
    """Return the folders of runs; if a sweep has started one again, only the last."""
    kept: dict[Path, Path] = {}
    for path in (path for path in folders if (path / RUN).is_file()):
        process = path.parent if (path.parent.parent / TRIAL).is_file() else path
        if process in kept:
            older, path = sorted((kept[process], path), key=lambda p: (p / RUN).stat().st_mtime)
            notes.append(f"{older} is left out: the sweep has started it again")
        kept[process] = path
    return list(kept.values())


def read_run(folder: Path) -> Record:
    """Return a run's record as far as it can be read; what can't be read is noted in it."""
    notes: list[str] = []
    fields = read_mapping(folder / RUN, notes)
    config = noted(lambda: config_of(folder), notes, ", so the run's settings aren't known") or {}
    rows = read_rows(folder / HISTORY, notes)
    end = read_mapping(folder.parent / END, notes) if (folder.parent / END).is_file() else {}
    state, reason = state_of(folder, config, rows, fields, end)
    return Record(
        id=str(fields.get("id") or folder.resolve()),
        name=str(fields.get("name") or folder.name),
        source=str(folder),
        config=config,
        choices=choices_of(fields, config),
        seed=whole(config.get("seed")),
        command=command_of(fields),
        state=state,
        reason=reason,
        origin=origin_of(fields),
        rows=rows,
        samples=by_round(folder / SAMPLES, ".png"),
        trial=whole(trial_of(folder.parent, notes).get("number")),
        notes=notes,
    )


def origin_of(fields: dict[str, Any]) -> dict[str, str]:
    """Return the recorded device, commit, version of torch and data of a run."""
    recorded = fields.get("segments")
    segments = [s for s in recorded if isinstance(s, dict)] if isinstance(recorded, list) else []
    data = [s["data"]["summary"] for s in segments if isinstance(s.get("data"), dict) and "summary" in s["data"]]
    values = {key: [s[key] for s in segments if s.get(key)] for key in ("device", "commit", "torch")} | {"data": data}
    return {key: " and ".join(dict.fromkeys(map(str, of))) for key, of in values.items() if of}


def noted(read: Callable[[], T], notes: list[str], effect: str = "") -> T | None:
    """Return what is read; None with a note if it can't be."""
    try:
        return read()
    except UserError as error:
        notes.append(f"{one_line(error)}{effect}")
        return None


def read_mapping(path: Path, notes: list[str]) -> dict[str, Any]:
    """Return the mapping in a JSON file; {} with a note if it can't be read."""
    return noted(lambda: read_json(path, dict[str, Any]), notes) or {}


def config_of(folder: Path) -> dict[str, Any]:
    """Return the config of a run with today's names."""
    config = read_config(folder)
    with reading(folder / CONFIG):
        return upgraded(config)


def whole(value: Any) -> int | None:
    """Return an integer; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_rows(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Return the rows of a history up to the first damaged one, which is noted."""
    rows: list[dict[str, Any]] = []
    if path.is_file():
        noted(lambda: rows.extend(read_history(path)), notes)
    if not rows:
        notes.append(f"{path.parent} has no history yet")
    return rows


def choices_of(fields: dict[str, Any], config: dict[str, Any]) -> dict[str, str]:
    """Return a run's recorded choices; those of its overrides if it is an old one."""
    if isinstance(fields.get("choices"), dict):
        choices = upgraded_choices(fields["choices"])
        return {str(group): str(choice) for group, choice in choices.items() if choice is not None}
    overrides = [override.lstrip("+").partition("=") for override in texts(fields.get("overrides"))]
    return {key: v.strip("[]").replace(",", "+") for key, _, v in overrides if isinstance(config.get(key), dict)}


def texts(values: Any) -> list[str]:
    """Return a list as texts; [] for anything else."""
    return [str(value) for value in values] if isinstance(values, list) else []


def command_of(fields: dict[str, Any]) -> str:
    """Return the command that started a run; made from its overrides if it isn't recorded."""
    segments = fields.get("segments")
    first = segments[0] if isinstance(segments, list) and segments and isinstance(segments[0], dict) else {}
    arguments = texts(first.get("command"))[1:] or ["train", *texts(fields.get("overrides"))]
    return shlex.join(["gan", *arguments])


def state_of(
    folder: Path, config: dict[str, Any], rows: list[dict[str, Any]], fields: dict[str, Any], end: dict[str, Any]
) -> tuple[State, str | None]:
    """Return the state of a run, and the reason if it failed or was stopped."""
    if has_finished(folder, config, rows):
        return "finished", None
    if is_running(folder):
        return "running", None
    reason = crash_of(folder, fields)
    if end:
        status = str(end.get("status"))
        return STATES.get(status, "stopped"), str(end.get("reason") or reason or status)
    return ("failed", reason) if reason else ("stopped", None)


def has_finished(folder: Path, config: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    """Return whether a run was trained for all rounds of its config; the last few may have no row."""
    trained, wanted, interval = last_round(rows), config.get("rounds"), config.get("log_every")
    if not isinstance(wanted, int) or trained >= wanted:
        return isinstance(wanted, int)
    if not isinstance(interval, int) or wanted - trained >= interval:
        return False
    from gan_research.checkpoints.io import saved_round

    return saved_round(folder) >= wanted


def crash_of(folder: Path, fields: dict[str, Any]) -> str | None:
    """Return the error that ended a run, if one did since it was last started."""
    reports = sorted((folder / CRASHES).glob("round_*.json"), key=lambda path: path.stat().st_mtime)
    started = 0.0
    with contextlib.suppress(LookupError, TypeError, ValueError, OverflowError):
        started = datetime.fromisoformat(fields["segments"][-1]["started"]).timestamp()
    if not reports or reports[-1].stat().st_mtime < started:
        return None
    content = read_mapping(reports[-1], [])
    return " ".join(str(content.get("error", f"see {reports[-1]}")).split())


def is_running(folder: Path) -> bool:
    """Return whether a process trains the run now; don't disturb one that is about to.

    A killed process is still named in the folder. So it must hold the lock; on another host, have written lately.
    """
    try:
        player = read_json(folder / PLAYER, Player)
    except UserError:
        return False
    host, process = player["host"], player["pid"]
    if host != platform.node():
        times = [path.stat().st_mtime for path in (folder / HISTORY, folder / PLAYER) if path.exists()]
        return time.time() - max(times, default=0.0) < SILENT
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # a process of another user
        pass
    return is_locked(folder / LOCK)


def trial_of(process: Path, notes: list[str]) -> dict[str, Any]:
    """Return the trial of a sweep's process; {} if there is none."""
    path = process.parent / TRIAL
    return read_mapping(path, notes) if path.is_file() else {}


def read_unbegun(process: Path) -> Record | None:
    """Return the record of a sweep's process that ended before it made a run."""
    if (process / RUN).is_file() or not (process / END).is_file() or any(process.glob(f"*/{RUN}")):
        return None
    notes: list[str] = []
    end, trial = read_mapping(process / END, notes), trial_of(process, notes)
    runs, number = trial.get("runs"), int(process.name) if process.name.isdigit() else 0
    overrides = texts(runs[number]) if isinstance(runs, list) and number < len(runs) else []
    config, choices = settings_of(overrides), settings_of([o for o in overrides if "." not in o.partition("=")[0]])
    return Record(
        id=f"{process.parent.name}/{process.name}",
        name=f"trial {process.parent.name}, run {process.name}",
        source=str(process),
        config=config,
        choices={key: value for key, value in choices.items() if isinstance(value, str)},
        seed=whole(config.get("seed")),
        command=shlex.join(["gan", "train", *overrides]),
        state=STATES.get(str(end.get("status")), "stopped"),
        reason=str(end.get("reason") or end.get("status")),
        trial=whole(trial.get("number")),
        notes=notes,
    )


def settings_of(overrides: list[str]) -> dict[str, Any]:
    """Return the settings of overrides KEY=VALUE as a config; {} if a value isn't YAML."""
    with contextlib.suppress(Exception):  # of OmegaConf's parser, for which a text may be anything
        config: Any = OmegaConf.to_container(OmegaConf.from_dotlist([override.lstrip("+") for override in overrides]))
        return {str(key): value for key, value in config.items()}
    return {}
