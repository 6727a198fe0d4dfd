"""Runs read from their folders: alone, in a folder of runs, or in a sweep."""

import contextlib
import json
import os
import platform
import shlex
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from gan_research.config.upgrade import upgraded, upgraded_choices
from gan_research.report.records import Record, State, last_round
from gan_research.utils.errors import UserError, one_line
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
    records = [read_run(path, notes) for path in last_attempts(found, notes)]
    records += [record for path in found if (record := read_unbegun(path, notes)) is not None]
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


def read_run(folder: Path, notes: list[str]) -> Record:
    """Return a run's record as far as it can be read; what can't be read is noted."""
    fields = read_mapping(folder / RUN, json.loads, notes)
    config = read_mapping(folder / CONFIG, yaml.safe_load, notes, ", so the run's settings aren't known")
    config = {str(key): value for key, value in upgraded(config).items()} if config else {}
    rows = read_rows(folder / HISTORY, notes)
    end = read_mapping(folder.parent / END, json.loads, notes) if (folder.parent / END).is_file() else {}
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
        trial=trial_of(folder.parent, notes)["number"],
    )


def read_mapping(path: Path, parse: Callable[[str], Any], notes: list[str], effect: str = "") -> dict[str, Any]:
    """Return the mapping in a file of JSON or YAML; {} with a note if there is none."""
    try:
        content = parse(path.read_text("utf-8"))
        if isinstance(content, dict):
            return content
        problem = "it isn't a mapping"
    except (OSError, ValueError, yaml.YAMLError) as error:
        problem = one_line(error)
    notes.append(f"{path} can't be read{effect}: {problem}")
    return {}


def read_rows(path: Path, notes: list[str]) -> list[dict[str, Any]]:
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
    with contextlib.suppress(LookupError, TypeError, ValueError):
        started = datetime.fromisoformat(fields["segments"][-1]["started"]).timestamp()
    if not reports or reports[-1].stat().st_mtime < started:
        return None
    content = read_mapping(reports[-1], json.loads, [])
    return " ".join(str(content.get("error", f"see {reports[-1]}")).split())


def is_running(folder: Path) -> bool:
    """Return whether a process trains the run now; don't disturb one that is about to.

    A killed process is still named in the folder. So it must hold the lock; on another host, have written lately.
    """
    try:
        player = json.loads((folder / PLAYER).read_bytes())
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
    except OSError:  # a process of another user
        pass
    return is_locked(folder / LOCK)


def trial_of(process: Path, notes: list[str]) -> dict[str, Any]:
    """Return the trial of a sweep's process, its `number` an int or None."""
    path = process.parent / TRIAL
    trial = read_mapping(path, json.loads, notes) if path.is_file() else {}
    return trial if isinstance(trial.get("number"), int) else trial | {"number": None}


def read_unbegun(process: Path, notes: list[str]) -> Record | None:
    """Return the record of a sweep's process that ended before it made a run."""
    if (process / RUN).is_file() or not (process / END).is_file() or any(process.glob(f"*/{RUN}")):
        return None
    end, trial = read_mapping(process / END, json.loads, notes), trial_of(process, notes)
    runs, number = trial.get("runs"), int(process.name) if process.name.isdigit() else 0
    overrides = texts(runs[number]) if isinstance(runs, list) and number < len(runs) else []
    config, choices = settings_of(overrides), settings_of([o for o in overrides if "." not in o.partition("=")[0]])
    seed = config.get("seed")
    return Record(
        id=f"{process.parent.name}/{process.name}",
        name=f"trial {process.parent.name}, run {process.name}",
        source=str(process),
        config=config,
        choices={key: value for key, value in choices.items() if isinstance(value, str)},
        seed=seed if isinstance(seed, int) else None,
        command=shlex.join(["gan", "train", *overrides]),
        state=STATES.get(str(end.get("status")), "stopped"),
        reason=str(end.get("reason") or end.get("status")),
        trial=trial["number"],
    )


def settings_of(overrides: list[str]) -> dict[str, Any]:
    """Return the settings of overrides KEY=VALUE as a config; {} if a value isn't YAML."""
    with contextlib.suppress(yaml.YAMLError):
        config: Any = OmegaConf.to_container(OmegaConf.from_dotlist([override.lstrip("+") for override in overrides]))
        return {str(key): value for key, value in config.items()}
    return {}
