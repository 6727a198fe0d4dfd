"""The numbers of runs at equal budget: each as it was last measured before one place of an axis."""

import math
from collections.abc import Mapping, Sequence

from gan_research.report.records import Record
from gan_research.utils.errors import UserError, did_you_mean

Point = tuple[float, float]

AXES = ("round", "kimg", "seconds")

TINY = 1e-9
"""Relative: what is nearer is the same place."""

NAMED = 5
"""Runs that a note names; the others are counted."""


def place_text(position: float, axis: str) -> str:
    """ "round 5,000", "320 kimg", "33.5 seconds"."""
    return f"round {position:,.0f}" if axis == "round" else f"{position:,.5g} {axis}"


def reach(record: Record, metrics: Sequence[str], axis: str) -> float | None:
    """The furthest place at which one of the metrics was measured."""
    return max((x for metric in metrics for x, _ in record.points(f"metrics/{metric}", axis)), default=None)


def furthest(
    records: Sequence[Record], metrics: Sequence[str], axis: str, at: float | None = None
) -> tuple[float, list[str]]:
    """Where numbers are taken: the furthest that all finished runs reach, or `at`; and notes.

    Where no run has finished, it is what all that are under way reach.
    """
    if axis not in AXES:
        raise UserError(f"--axis {axis}: {did_you_mean(axis, AXES)}")
    measured = [record for record in records if reach(record, metrics, "round") is not None]
    reaches = {record.id: place for record in measured if (place := reach(record, metrics, axis)) is not None}
    if not measured:
        return at or 0.0, ["no run has been measured by a metric that ranks generators"]
    if not reaches:
        raise UserError(f"none of these runs tells its {axis}: compare them by --axis round")
    lost = [record for record in measured if record.id not in reaches]
    notes = [f"left out, as they don't tell their {axis}: {named(lost)}"] if lost else []
    most = max(reaches.values())
    if at is not None:
        if not 0 <= at <= most:
            raise UserError(f"--at {at:g}: give a place from 0 to {place_text(most, axis)}, which no run passes")
        return at, notes
    chosen = leading([record for record in measured if record.id in reaches])
    position = min(reaches[record.id] for record in chosen)
    if chosen[0].state != "finished":
        notes.append(f"no run has finished: numbers are of {place_text(position, axis)}, which all have reached")
    beyond = sum(reaches[record.id] > position * (1 + TINY) for record in chosen)
    if beyond and axis != "seconds":
        where = f"{place_text(position, axis)}, up to {place_text(most, axis)}"
        notes.append(f"{beyond} of {len(chosen)} runs go on after {where}: numbers are of where all have been")
    return position, notes


def leading(records: Sequence[Record]) -> list[Record]:
    """The finished ones; without, those under way; without, all."""
    finished = [record for record in records if record.state == "finished"]
    return finished or [record for record in records if record.state != "failed"] or list(records)


def finals(
    records: Sequence[Record], metrics: Sequence[str], axis: str, position: float
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """metric -> run -> its number, as it was last measured up to `position`, of runs that got there; and notes."""
    values: dict[str, dict[str, float]] = {}
    short: dict[str, Record] = {}
    notes: list[str] = []
    for metric in metrics:
        points = {record.id: record.points(f"metrics/{metric}", axis) for record in records}
        last = {run: last_before(of, position) for run, of in points.items()}
        values[metric] = {run: point[1] for run, point in last.items() if point is not None and math.isfinite(point[1])}
        short |= {record.id: record for record in records if points[record.id] and last[record.id] is None}
        notes += metric_notes(metric, records, last, axis, position)
    if unfinished := [record for record in short.values() if record.state != "failed"]:
        notes.append(f"left out, as they don't reach {place_text(position, axis)}: {named(unfinished)}")
    return values, notes


def last_before(points: Sequence[Point], position: float) -> Point | None:
    """The last of the points (x, y) up to `position`, of a run that got there; None of others."""
    if not points or max(x for x, _ in points) < position * (1 - TINY):
        return None
    return max(
        (point for point in points if point[0] <= position * (1 + TINY)), default=None, key=lambda point: point[0]
    )


def metric_notes(
    metric: str, records: Sequence[Record], last: Mapping[str, Point | None], axis: str, position: float
) -> list[str]:
    """What to know of the numbers of a metric: who lacks it, or has no finite one; and where places differ."""
    notes = []
    begun = [record for record in records if record.rows and record.state != "failed"]
    if lacking := [record for record in begun if not record.points(f"metrics/{metric}", "round")]:
        notes.append(f"{metric} wasn't measured in {named(lacking)}")
    found = [(record, point) for record in records if (point := last[record.id]) is not None]
    if wild := [record for record, (_, y) in found if not math.isfinite(y)]:
        notes.append(f"left out, as their {metric} is no finite number: {named(wild)}")
    places = [x for _, (x, _) in found]
    if axis != "seconds" and places and min(places) < max(places):
        first = place_text(min(places), axis)
        notes.append(f"{metric} is as last measured up to {place_text(position, axis)}, in some runs at {first}")
    return notes


def named(records: Sequence[Record]) -> str:
    """Some runs, by their folders."""
    names = [record.source + ("" if record.state == "finished" else f" ({record.state})") for record in records]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
