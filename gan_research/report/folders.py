"""Runs, read from their folders: alone, in a folder of runs, or in a sweep."""

import contextlib
import json
import os
import platform
import shlex
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from gan_research.config.upgrade import upgraded
from gan_research.report.records import Record, State
from gan_research.utils.errors import UserError
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
    by_round,
    is_locked,
    read_history,
)

SILENT = 3600.0
"""Seconds in which who plays a run on another host has written something, or is taken for gone."""

ENDS: dict[str, State] = {"finished": "stopped", "failed": "failed", "killed": "failed"}
"""What the end of a sweep's process says of a run that hasn't played all its rounds; else it was stopped."""


def read_folder(folder: Path) -> tuple[list[Record], list[str]]:
    """The runs in `folder`, at any depth, and those of a sweep that never began; notes of what isn't told.

    Raises a UserError if there are none.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: give run folders, sweep folders or folders of runs")
    found = sorted(path for path in walk(folder))
    notes: list[str] = []
    records = [read_run(path, notes) for path in current([path for path in found if (path / RUN).is_file()], notes)]
    records += [record for path in found if (record := unbegun(path, notes)) is not None]
    if not records:
        raise UserError(f"there are no runs in {folder}: a run is a folder with a {RUN}")
    return records, notes


def walk(folder: Path) -> Iterator[Path]:
    """Folders of runs and of sweeps' processes, however deep; not those inside of a run."""
    for root, folders, files in os.walk(folder):
        if RUN in files or (Path(root).parent / TRIAL).is_file():
            yield Path(root)
        if RUN in files:
            folders.clear()


def current(runs: list[Path], notes: list[str]) -> list[Path]:
    """Without those that a sweep has begun anew: of several in one process's folder, the last counts."""
    kept: dict[Path, Path] = {}
    for path in runs:
        place = path.parent if (path.parent.parent / TRIAL).is_file() else path
        if place in kept:
            older, path = sorted((kept[place], path), key=lambda p: (p / RUN).stat().st_mtime)
            notes.append(f"{older} is left out: the sweep began it anew")
        kept[place] = path
    return list(kept.values())


def read_run(folder: Path, notes: list[str]) -> Record:
    """A run's record, as far as it can be read; what can't be goes into the notes."""
    fields = read_json(folder / RUN, notes)
    config = read_config(folder / CONFIG, notes)
    rows = read_rows(folder / HISTORY, notes)
    end = read_json(folder.parent / END, notes) if (folder.parent / END).is_file() else {}
    trial = trial_of(folder.parent, notes)
    state, reason = state_of(folder, config, rows, fields, end)
    seed = config.get("seed")
    return Record(
        id=str(fields.get("id") or folder.resolve()),
        name=str(fields.get("name") or folder.name),
        source=str(folder),
        config=config,
        choices=choices_of(fields, config),
        seed=seed if isinstance(seed, int) else None,
        command=command_of(fields),
        state=state,
        reason=reason,
        rows=rows,
        samples=by_round(folder / SAMPLES, ".png"),
        trial=trial.get("number"),
    )


def read_json(path: Path, notes: list[str]) -> dict[str, Any]:
    """A JSON object, {} where there is none."""
    try:
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            return content
        problem = "isn't an object"
    except (OSError, ValueError) as error:
        problem = str(error)
    notes.append(f"{path} can't be read: {problem}")
    return {}


def read_config(path: Path, notes: list[str]) -> dict[str, Any]:
    """A run's config, {} where there is none."""
    try:
        content = yaml.safe_load(path.read_text())
        if isinstance(content, dict):
            return {str(key): value for key, value in upgraded(content).items()}
        problem = "it holds no settings"
    except (OSError, ValueError) as error:
        problem = str(error)
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
    notes.append(f"{path} can't be read, so the run's settings aren't known: {problem}")
    return {}


def read_rows(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """A run's history, as far as it has come."""
    try:
        rows = [row for row in read_history(path) if isinstance(row, dict) and isinstance(row.get("round"), int)]
    except FileNotFoundError:
        rows = []
    except (OSError, ValueError) as error:
        notes.append(f"{path} can't be read: {error}")
        return []
    if not rows:
        notes.append(f"{path.parent} has no history yet")
    return rows


def choices_of(fields: dict[str, Any], config: dict[str, Any]) -> dict[str, str]:
    """What a run's record says was chosen; of an old one, what its overrides choose."""
    if isinstance(fields.get("choices"), dict):
        return {str(group): str(choice) for group, choice in fields["choices"].items() if choice is not None}
    words = [word.lstrip("+").partition("=") for word in texts(fields.get("overrides"))]
    parts = [(key, value) for key, _, value in words if isinstance(config.get(key), dict)]
    return {key: value.strip("[]").replace(",", "+") for key, value in parts}


def texts(values: Any) -> list[str]:
    """A list of texts, whatever was found in its place."""
    return [str(value) for value in values] if isinstance(values, list) else []


def command_of(fields: dict[str, Any]) -> str:
    """The line that started a run; by its overrides where its record doesn't know."""
    segments = fields.get("segments")
    first = segments[0] if isinstance(segments, list) and segments and isinstance(segments[0], dict) else {}
    _, *words = texts(first.get("command")) or ["gan"]
    return shlex.join(["gan", *(words or ["train", *texts(fields.get("overrides"))])])


def state_of(
    folder: Path, config: dict[str, Any], rows: list[dict[str, Any]], fields: dict[str, Any], end: dict[str, Any]
) -> tuple[State, str | None]:
    """What has become of a run, and why, where it failed or was stopped."""
    if has_finished(folder, config, rows):
        return "finished", None
    if is_played(folder):
        return "running", None
    reason = crash_of(folder, fields)
    if end:
        status = str(end.get("status"))
        told = end.get("reason") or reason
        return ENDS.get(status, "stopped"), str(told) if told else status
    return ("failed", reason) if reason else ("stopped", None)


def has_finished(folder: Path, config: dict[str, Any], rows: list[dict[str, Any]]) -> bool:
    """Whether a run has played all rounds of its config: of the last, fewer than a log's interval leave no row."""
    played, wanted, interval = (
        max((row["round"] for row in rows), default=0),
        config.get("rounds"),
        config.get("log_every"),
    )
    if not isinstance(wanted, int) or played >= wanted:
        return isinstance(wanted, int)
    if not isinstance(interval, int) or wanted - played >= interval:
        return False
    from gan_research.checkpoints.io import rounds_played

    return rounds_played(folder) >= wanted


def crash_of(folder: Path, fields: dict[str, Any]) -> str | None:
    """The error that ended a run, if one did since it was last started."""
    records = sorted((folder / CRASHES).glob("round_*.json"), key=lambda path: path.stat().st_mtime)
    if not records or records[-1].stat().st_mtime < last_start(fields):
        return None
    content = read_json(records[-1], [])
    return " ".join(str(content.get("error", f"see {records[-1]}")).split())


def last_start(fields: dict[str, Any]) -> float:
    """When a run was last started or resumed, in seconds of the epoch; 0 where that isn't known."""
    with contextlib.suppress(LookupError, TypeError, ValueError):
        return datetime.fromisoformat(fields["segments"][-1]["started"]).timestamp()
    return 0.0


def is_played(folder: Path) -> bool:
    """Whether a process plays the run now; asked so that it can't be in the way of one that is about to.

    Who plays a run is named in its folder until it ends, but for a kill: so on this host the process must be there,
    and hold the lock; on another, it must have written something lately.
    """
    try:
        player = json.loads((folder / PLAYER).read_text())
        host, process = player["host"], int(player["pid"])
    except (OSError, ValueError, LookupError, TypeError):
        return False
    if host != platform.node():
        times = [path.stat().st_mtime for path in (folder / HISTORY, folder / PLAYER) if path.exists()]
        return time.time() - max(times, default=0.0) < SILENT
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return is_locked(folder / LOCK)


def trial_of(process: Path, notes: list[str]) -> dict[str, Any]:
    """What the sweep says of the trial that this process's folder belongs to; {} outside of sweeps."""
    path = process.parent / TRIAL
    found = read_json(path, notes) if path.is_file() else {}
    return found if isinstance(found.get("number"), int) else found | {"number": None}


def unbegun(process: Path, notes: list[str]) -> Record | None:
    """The record of a sweep's process that ended before there was a run; None of others."""
    if (process / RUN).is_file() or not (process / END).is_file() or any(process.glob(f"*/{RUN}")):
        return None
    end, trial = read_json(process / END, notes), trial_of(process, notes)
    runs = trial.get("runs")
    number = int(process.name) if process.name.isdigit() else 0
    overrides = texts(runs[number]) if isinstance(runs, list) and number < len(runs) else []
    settings = dict(setting(override) for override in overrides)
    seed = settings.pop("seed", None)
    return Record(
        id=f"{process.parent.name}/{process.name}",
        name=f"trial {process.parent.name}, run {process.name}",
        source=str(process),
        config={"seed": seed, **nested(settings)},
        choices={key: str(value) for key, value in settings.items() if isinstance(value, str) and "." not in key},
        seed=seed if isinstance(seed, int) else None,
        command=shlex.join(["gan", "train", *overrides]),
        state=ENDS.get(str(end.get("status")), "stopped"),
        reason=str(end.get("reason") or end.get("status")),
        trial=trial.get("number"),
    )


def setting(override: str) -> tuple[str, Any]:
    """Key and value of KEY=VALUE; the value as it stands where it isn't YAML."""
    key, _, value = override.lstrip("+").partition("=")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        return key, value


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings by their full names, as a config has them."""
    config: dict[str, Any] = {}
    for key, value in settings.items():
        *path, last = key.split(".")
        node = config
        for part in path:
            inner = node.setdefault(part, {})
            node = inner if isinstance(inner, dict) else {}
        node[last] = value
    return config
