"""The metrics of runs at equal budget: the last values measured up to one position of an axis."""

import math
from collections.abc import Mapping, Sequence

from gan_research.report.records import AXES, LARGEST, METRICS, TINY, Record, format_x
from gan_research.utils.errors import UserError, did_you_mean

Point = tuple[float, float]
NAMED = 5  # the number of runs that a note names; the others are counted


def last_x(record: Record, metrics: Sequence[str], axis: str) -> float | None:
    """Return the last position at which one of the metrics was measured."""
    return max((x for metric in metrics for x, _ in record.points(METRICS + metric, axis)), default=None)


def common_budget(
    records: Sequence[Record], metrics: Sequence[str], axis: str, at: float | None = None
) -> tuple[float, list[str]]:
    """Return `at`, or the last position that all finished runs reach, short ones left out; and notes.

    A run is short if more than half of them end later, on the axis and in rounds: a faster run isn't, one of fewer
    rounds is. If no run has finished, the rule is applied to those that haven't failed.
    """
    if axis not in AXES:
        raise UserError(f"--axis {axis}: {did_you_mean(axis, AXES)}")
    measured = [record for record in records if last_x(record, metrics, "round") is not None]
    if not measured:
        return at or 0.0, ["no run has a metric that ranks generators"]
    ends = {record.id: x for record in measured if (x := last_x(record, metrics, axis)) is not None}
    if not ends:
        raise UserError(f"no run has recorded its {axis}: compare them with --axis round")
    unknown = [record for record in measured if record.id not in ends]
    notes = [f"left out, as their {axis} aren't recorded: {named(unknown)}"] if unknown else []
    longest = max(ends.values())
    if at is not None:
        if not 0 <= at <= longest:
            raise UserError(f"--at {at:g}: give a position from 0 to {format_x(longest, axis)}, the last of any run")
        return at, notes
    known = [record for record in measured if record.id in ends]
    finished = [record for record in known if record.state == "finished"]
    chosen = finished or [record for record in known if record.state != "failed"] or known
    rounds = {record.id: last_x(record, metrics, "round") or 0.0 for record in chosen}
    usual, usual_rounds = reached_by_most([ends[run] for run in rounds]), reached_by_most(list(rounds.values()))
    long_enough = [run for run, x in rounds.items() if not (before(ends[run], usual) and before(x, usual_rounds))]
    position = min(ends[run] for run in long_enough)
    text = format_x(position, axis)
    if chosen[0].state != "finished":
        notes.append(f"no run has finished: numbers are taken at {text}, which most runs have reached")
    longer = sum(before(position, ends[run]) for run in rounds)
    if longer and axis != "seconds":
        longer_runs = f"{longer} of {len(chosen)} runs continue after {text}, up to {format_x(longest, axis)}"
        notes.append(f"{longer_runs}: numbers are taken at {text}")
    return position, notes


def before(x: float, position: float) -> bool:
    """Return whether x is before a position by more than rounding."""
    return x < position * (1 - TINY)


def reached_by_most(ends: Sequence[float]) -> float:
    """Return the last position that more than half of the runs reach."""
    return sorted(ends, reverse=True)[len(ends) // 2]


def final_values(
    records: Sequence[Record], metrics: Sequence[str], axis: str, position: float
) -> tuple[dict[str, dict[str, float]], list[Record], list[str]]:
    """Return metric -> run -> its last value up to `position`; the runs that end before it; and notes."""
    values: dict[str, dict[str, float]] = {}
    short: dict[str, Record] = {}
    notes: list[str] = []
    ends = {record.id: last_x(record, metrics, axis) for record in records}
    present = [record for record in records if (end := ends[record.id]) is None or not before(end, position)]
    for metric in metrics:
        last: dict[str, Point] = {}
        for record in records:
            points = record.points(METRICS + metric, axis)
            if (point := last_before(points, position)) is not None:
                last[record.id] = point
            elif points and record.state != "failed":
                short[record.id] = record
        values[metric] = {run: y for run, (_, y) in last.items() if math.isfinite(y)}
        notes += metric_notes(metric, present, last, axis, position)
    return values, list(short.values()), notes + short_notes(list(short.values()), metrics, axis, position)


def short_notes(short: Sequence[Record], metrics: Sequence[str], axis: str, position: float) -> list[str]:
    """Return notes on runs that end before the position, and how to include finished ones."""
    notes, text = [], format_x(position, axis)
    if finished := [record for record in short if record.state == "finished"]:
        end = min(last_x(record, metrics, axis) or 0.0 for record in finished)
        left_out = "1 finished run is left out, as it ends" if len(finished) == 1 else ""
        left_out = left_out or f"{len(finished)} finished runs are left out, as they end"
        includes = f"--at {end:.15g} includes {'it' if len(finished) == 1 else 'them'}"
        notes.append(f"{left_out} before {text}: {named(finished)}; {includes}")
    if unfinished := [record for record in short if record.state != "finished"]:
        notes.append(f"left out, as they didn't reach {text}: {named(unfinished)}")
    return notes


def last_before(points: Sequence[Point], position: float) -> Point | None:
    """Return the last point (x, y) up to `position`; None for a run that didn't get there."""
    if not points or before(max(points)[0], position):
        return None
    return max((point for point in points if point[0] <= position * (1 + TINY)), default=None, key=lambda p: p[0])


def metric_notes(
    metric: str, records: Sequence[Record], last: Mapping[str, Point], axis: str, position: float
) -> list[str]:
    """Return notes on missing and infinite values, and on values of different positions."""
    notes = []
    begun = [record for record in records if record.rows and record.state != "failed"]
    if lacking := [record for record in begun if not record.points(METRICS + metric, "round")]:
        notes.append(f"{metric} wasn't measured in {named(lacking)}")
    found = [(record, last[record.id]) for record in records if record.id in last]
    if infinite := [record for record, (_, y) in found if not math.isfinite(y)]:
        notes.append(f"left out, as their {metric} isn't finite, or above {LARGEST:g}: {named(infinite)}")
    xs = [x for _, (x, _) in found]
    if axis != "seconds" and xs and min(xs) < max(xs):
        text, first = format_x(position, axis), format_x(min(xs), axis)
        notes.append(f"{metric} is the last value measured up to {text}, in some runs at {first}")
    return notes


def named(records: Sequence[Record]) -> str:
    names = [record.source + ("" if record.state == "finished" else f" ({record.state})") for record in records]
    return ", ".join(names[:NAMED]) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
