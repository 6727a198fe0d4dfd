"""`gan train -m ... --cfg`: the runs of a sweep, what they differ in, their time and disk; nothing is started."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan_research.callbacks.health import unconstrained
from gan_research.cli.sweep_request import SweepRequest
from gan_research.config.build import build_data, build_game, build_trainer, make
from gan_research.config.compose import Composition
from gan_research.cost import estimate
from gan_research.data import Data
from gan_research.report.records import Record
from gan_research.report.settings import ABSENT, differing_settings
from gan_research.sweeps.search import Search
from gan_research.sweeps.sweep import Sweep
from gan_research.utils.errors import UserError
from gan_research.utils.texts import bytes_text, duration, short_names

LISTED = 30  # points that are listed
MEASURED, SECONDS = 6, 2.0  # points whose cost is measured, and for how long each after its start


def dry_run(sweep: Sweep, request: SweepRequest, search: Search) -> int:
    """Print what a sweep would train; return the exit status.

    Raises a UserError that names the point if the components of one don't fit.
    """
    console = Console()
    compositions = dict(zip(map(text_of, request.points), request.compositions, strict=True))
    table = Table(title=f"points of {sweep.name}, and what they differ in", title_justify="left")
    for column in ("point", "differs in", "warning"):
        table.add_column(column, overflow="fold")
    data = cache(lambda node: build_data({"data": json.loads(node)}))  # points share their data
    differences = differences_of(compositions, [axis.name for axis in request.axes])
    for point, composition in compositions.items():
        warning = check_game(point, composition, data(json.dumps(composition.config["data"])))
        if table.row_count < LISTED:
            table.add_row(*map(Text, (point, differences[point], warning)))
    if (more := len(compositions) - LISTED) > 0:
        table.caption = f"and {more} more"
    console.print(table)
    runs = None if search.total is None else search.total * search.runs_per_trial
    for line in summary(sweep, request, runs, costs_of(compositions)):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return 0


def text_of(point: Sequence[str]) -> str:
    """Return a point as on a command line, without its seed."""
    return " ".join(override for override in point if not override.startswith("seed=")) or "the only point"


def differences_of(compositions: dict[str, Composition], axes: list[str]) -> dict[str, str]:
    """Return point -> its settings that most points don't share, without the axes."""
    records = {
        point: [Record(str(i), point, "", composition.config, composition.chosen)]
        for i, (point, composition) in enumerate(compositions.items())
    }
    table = differing_settings(records, axes)
    found: dict[str, list[str]] = {point: [] for point in compositions}
    for name, values in zip(short_names(table), table.values(), strict=True):
        count = Counter(values.values())
        for point, value in values.items():
            if value != ABSENT and 2 * count[value] <= len(values):
                found[point].append(f"{name}={value}")
    return {point: " ".join(settings) or "-" for point, settings in found.items()}


def check_game(point: str, composition: Composition, data: Data) -> str:
    """Build the networks and losses of a run; return what it lacks."""
    try:
        return "; ".join(unconstrained(build_game(composition.config, data)).values())
    except UserError as error:
        raise UserError(f"{point}: {error}") from error


def costs_of(compositions: dict[str, Composition]) -> list[dict[str, Any]]:
    """Return the costs of runs at points spread evenly; a point that can't be measured is noted."""
    points = list(compositions)
    step = max(1, len(points) / MEASURED)
    costs = []
    for point in [points[int(i * step)] for i in range(min(MEASURED, len(points)))]:
        try:
            costs.append(estimate(compositions[point], SECONDS))
        except UserError as error:
            costs.append({"note": f"not measured: {point}: {error}"})
    return costs


def summary(sweep: Sweep, request: SweepRequest, runs: int | None, costs: list[dict[str, Any]]) -> list[str]:
    """Return the number of runs, their time and disk, and notes."""
    config = request.compositions[0].config
    trainer = build_trainer(config["trainer"])
    on_gpus = trainer.strategy.root_device.type == "cuda"
    at_once = len(make(sweep.pool).slots(trainer.world_size, on_gpus))
    lines = [cost["note"] for cost in costs if "note" in cost]
    if measured := [cost for cost in costs if "note" not in cost]:
        seconds = [cost["startup_seconds"] + cost["seconds_total"] for cost in measured]
        disk = [cost["disk_bytes"] for cost in measured]
        part = f", by {len(measured)} of {len(request.points)} points" if len(measured) < len(request.points) else ""
        spread = f" ({duration(min(seconds))} to {duration(max(seconds))})" if len(measured) > 1 else ""
        lines.append(f"a run: about {duration(mean(seconds))}{spread}, {bytes_text(mean(disk))} on disk{part}")
        if runs is not None:
            at_once = min(at_once, runs)
            whole = f"about {duration(runs * mean(seconds) / at_once)} with {at_once} at once"
            lines.append(f"all {runs:,} runs: {whole}, {bytes_text(runs * mean(disk))} on disk")
    if not measured or runs is None:
        lines.append(f"runs: {'until the search ends' if runs is None else f'{runs:,}'}")
    if sweep.metric is not None:
        lines.append(f"compared by {sweep.metric}, {'lower' if sweep.goal == 'min' else 'higher'} is better")
    return [*lines, "nothing was started: leave --cfg out to train them"]
