"""Runs, read from a project of Weights & Biases."""

import contextlib
import math
import shlex
from typing import Any

from gan_research.config.upgrade import upgraded
from gan_research.report.records import Record, State
from gan_research.utils.errors import UserError

PREFIX = "wandb:"

OFFLINE = "or give the runs' folders, which needs no account"

STATES: dict[str, State] = {"running": "running", "pending": "running", "crashed": "failed", "failed": "failed"}
"""What W&B's words say of a run that hasn't played all its rounds; else it was stopped."""

ADDED = ("protocol", "better", "choices", "composed")
"""What our logger adds to a run's config."""

NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
"""Numbers that W&B's JSON has as texts."""


def read_project(path: str, api: Any = None) -> tuple[list[Record], list[str]]:
    """The runs of "wandb:[ENTITY/]PROJECT", and notes.

    Raises a UserError where there is no key, no server, no such project, or nothing in it.
    """
    project = path.removeprefix(PREFIX).strip("/")
    if not project or project.count("/") > 1:
        raise UserError(f"{path}: give {PREFIX}PROJECT or {PREFIX}ENTITY/PROJECT")
    import wandb

    try:
        runs = list((api or wandb.Api()).runs(project))
        notes: list[str] = []
        records = [read_run(run, notes) for run in runs]
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as error:
        raise UserError(f"{path}: {reason_of(error)}: log in by `wandb login`, {OFFLINE}") from error
    except (wandb.errors.Error, ValueError, OSError) as error:
        raise UserError(
            f"{path} can't be read from W&B: {reason_of(error)}: see that it is spelt so, as {PREFIX}ENTITY/PROJECT, "
            f"and that you are logged in to it (`wandb login`), {OFFLINE}"
        ) from error
    if not records:
        raise UserError(f"{path} has no runs")
    return records, notes


def reason_of(error: Exception) -> str:
    """An error's first line."""
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".:")


def read_run(run: Any, notes: list[str]) -> Record:
    """One run, as W&B's public API gives it."""
    config = {key: value for key, value in run.config.items() if key not in ADDED and not key.startswith("_")}
    config |= run.config.get("composed", {})  # what the words of a W&B sweep stand for
    rows = history(run.scan_history(), run.config)
    if not rows:
        notes.append(f"{run.url} has no history yet")
    wanted, seed = config.get("rounds"), config.get("seed")
    played = max((row["round"] for row in rows), default=0)
    finished = isinstance(wanted, int) and played >= wanted
    state = "finished" if finished else STATES.get(run.state, "stopped")
    choices = run.config.get("choices")
    return Record(
        id=run.id,
        name=str(run.name),
        source=run.url,
        config=upgraded(config),
        choices={str(k): str(v) for k, v in choices.items()} if isinstance(choices, dict) else {},
        seed=seed if isinstance(seed, int) else None,
        command=command_of(run),
        state=state,
        reason=f"W&B calls it {run.state}" if state == "failed" else None,
        rows=rows,
    )


def history(found: Any, config: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that our history has; of those that were logged again after a resume, the last."""
    rows: list[dict[str, Any]] = []
    told = {key: config[key] for key in ("protocol", "better") if key in config}
    for entry in found:
        row = {k: NAMED.get(v, v) if isinstance(v, str) else v for k, v in entry.items() if not k.startswith("_")}
        row = {key: value for key, value in row.items() if isinstance(value, int | float)}
        if set(row) <= {"round", "kimg"} or "round" not in row:
            continue
        row["round"] = int(row["round"])
        if rows and row["round"] < rows[-1]["round"]:
            rows = [earlier for earlier in rows if earlier["round"] < row["round"]]
        rows.append(row | (told if any(key.startswith("metrics/") for key in row) else {}))
    return rows


def command_of(run: Any) -> str:
    """The line that started a run, if W&B was told."""
    words: Any = None
    with contextlib.suppress(Exception):  # a file of its own, which may be missing
        words = (run.metadata or {}).get("args")
    return shlex.join(["gan", *map(str, words)]) if isinstance(words, list) and words else f"see {run.url}/overview"
