"""Runs read from a project of Weights & Biases."""

import contextlib
import math
import shlex
from collections.abc import Iterable
from typing import Any

from gan_research.config.upgrade import upgraded, upgraded_choices
from gan_research.report.records import METRICS, Record, State, is_number, last_round
from gan_research.utils.artifacts import asking_wandb
from gan_research.utils.errors import UserError
from gan_research.utils.renamed import renamed_metric, renamed_targets
from gan_research.utils.run_folder import MEASURED

PREFIX = "wandb:"
OFFLINE = "give the runs' folders, which needs no account"
STATES: dict[str, State] = {"running": "running", "pending": "running", "crashed": "failed", "failed": "failed"}
"""W&B's state -> state of an unfinished run; stopped for any other."""
ADDED = (*MEASURED, "protocols", "choices", "composed")  # keys that our logger adds to a run's config
NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # numbers that W&B's JSON contains as texts


def read_project(path: str, api: Any = None) -> list[Record]:
    """Return the runs of "wandb:[ENTITY/]PROJECT".

    Raises a UserError if there is no key, no server, no such project, or no run in it.
    """
    project = path.removeprefix(PREFIX).strip("/")
    if not project or project.count("/") > 1:
        raise UserError(f"{path}: give {PREFIX}PROJECT or {PREFIX}ENTITY/PROJECT")
    form = f"{PREFIX}ENTITY/PROJECT"
    advice = f"check the spelling, {form}, and log in to an account that can read it (`wandb login`), or {OFFLINE}"
    with asking_wandb(path, advice, OFFLINE):
        import wandb

        records = [read_run(run) for run in (api or wandb.Api()).runs(project)]
    if not records:
        raise UserError(f"{path} has no runs")
    return records


def read_run(run: Any) -> Record:
    config = {key: value for key, value in run.config.items() if key not in ADDED and not key.startswith("_")}
    config |= run.config.get("composed", {})  # components whose names the sweep's own parameters took
    rows = read_rows(run.scan_history(), run.config)
    wanted, seed, choices = config.get("rounds"), config.get("seed"), run.config.get("choices")
    finished = isinstance(wanted, int) and last_round(rows) >= wanted
    state = "finished" if finished else STATES.get(run.state, "stopped")
    return Record(
        id=run.id,
        name=str(run.name),
        source=run.url,
        config=upgraded(config),
        choices={str(k): str(v) for k, v in upgraded_choices(choices).items()} if isinstance(choices, dict) else {},
        seed=seed if isinstance(seed, int) else None,
        command=command_of(run),
        state=state,
        reason=f"its state in W&B is {run.state}" if state == "failed" else None,
        rows=rows,
        notes=[] if rows else [f"{run.url} has no history yet"],
    )


def read_rows(entries: Iterable[dict[str, Any]], config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of our history; of rows that were logged again after a resume, the last."""
    rows: list[dict[str, Any]] = []
    last = {key: config[key] for key in MEASURED if key in config}
    evaluations = renamed_targets([*(config.get("protocols") or {}).values(), last])
    for entry in entries:
        row = {k: NUMBERS.get(v, v) if isinstance(v, str) else v for k, v in entry.items() if not k.startswith("_")}
        row = {renamed_metric(key): value for key, value in row.items() if is_number(value)}
        if set(row) <= {"round", "kimg"} or not is_number(at := row.get("round")) or not math.isfinite(at):
            continue
        row["round"] = int(row["round"])
        if rows and row["round"] < rows[-1]["round"]:
            rows = [earlier for earlier in rows if earlier["round"] < row["round"]]
        rows.append(row | measured_by(row, evaluations))
    return rows


def measured_by(row: dict[str, Any], evaluations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `protocol` and `better` of the evaluation that measured a row; {} if it has no metrics."""
    if not any(key.startswith(METRICS) for key in row):
        return {}
    own = (one for one in evaluations if any(METRICS + column in row for column in one.get("better", {})))
    return next(own, evaluations[-1])


def command_of(run: Any) -> str:
    """Return the command that started a run, or where to find it."""
    arguments: Any = None
    with contextlib.suppress(Exception):  # a file of its own, which may be missing
        arguments = (run.metadata or {}).get("args")
    if isinstance(arguments, list) and arguments:
        return shlex.join(["gan", *map(str, arguments)])
    return f"see {run.url}/overview"
