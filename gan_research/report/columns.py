"""The columns of metrics that rank generators: their better direction, and the range of their values."""

from collections.abc import Iterator, Sequence
from typing import Any

from gan_research.report.records import METRICS, Record, is_number
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.ranges import NON_NEGATIVE, SHARE, UNBOUNDED, Range

SCALARS = {"probability/": SHARE, "speed/": NON_NEGATIVE}  # the prefix of logged scalars -> their range


def evaluations(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the rows that have metrics."""
    return [row for record in records for row in record.rows if any(name.startswith(METRICS) for name in row)]


def directions(records: Sequence[Record], metrics: Sequence[str] | None) -> dict[str, str]:
    """Return column -> "min" or "max", for metrics that rank generators."""
    rows = evaluations(records)
    columns = dict.fromkeys(name.removeprefix(METRICS) for row in rows for name in row if name.startswith(METRICS))
    better = recorded(rows, "better")
    if not all("better" in row for row in rows):
        better = {column: way for column in columns if (way := known_direction(column))} | better
    found = {column: better[column] for column in columns if better.get(column) in ("min", "max")}
    if metrics is None:
        return found
    wanted = [metric.removeprefix(METRICS) for metric in metrics]
    for metric in wanted:
        if metric not in found:
            raise UserError(f"no run has a metric '{metric}' that ranks generators: {did_you_mean(metric, found)}")
    return {metric: found[metric] for metric in wanted}


def ranges(records: Sequence[Record], columns: Sequence[str]) -> dict[str, Range]:
    """Return column -> its range, as recorded; as its metric declares it, for histories of earlier versions."""
    rows = evaluations(records)
    found = {column: range for column, range in recorded(rows, "ranges").items() if is_range(range)}
    old = not all("ranges" in row for row in rows)
    return {c: tuple(found[c]) if c in found else known_range(c) if old else UNBOUNDED for c in columns}


def recorded(rows: Sequence[dict[str, Any]], field: str) -> dict[str, Any]:
    """Return column -> what the rows record of it."""
    return {column: value for row in rows if isinstance(row.get(field), dict) for column, value in row[field].items()}


def is_range(value: Any) -> bool:
    """Return whether a value of a W&B config is a range."""
    return isinstance(value, list | tuple) and len(value) == 2 and all(e is None or is_number(e) for e in value)


def known_direction(column: str) -> str | None:
    """Return "min" or "max" for a column of an old history; None if it doesn't rank generators."""
    if is_frechet(column):
        return "min"
    return next((metric.columns[column] for metric in declaring("columns") if column in metric.columns), None)


def known_range(column: str) -> Range:
    """Return the range of a metric's column that holds for all extractors."""
    if is_frechet(column):
        return UNBOUNDED if column.endswith("_infinity") else NON_NEGATIVE
    return next((metric.ranges[column] for metric in declaring("ranges") if column in metric.ranges), UNBOUNDED)


def is_frechet(column: str) -> bool:
    """Return whether a column is a Fréchet distance, which extractors name."""
    return column.removeprefix("i").startswith(("fid", "fd_")) and not column.endswith("_perfect")


def declaring(field: str) -> Iterator[Any]:
    """Yield the classes of metrics that declare a field."""
    from gan_research.metrics.base import METRICS as CLASSES

    yield from (metric for metric in CLASSES.values() if hasattr(metric, field))


def range_of(scalar: str, metrics: dict[str, Range]) -> Range:
    """Return the range of a logged scalar ("metrics/fid", "probability/real"), given that of the metrics."""
    prefixed = (range for prefix, range in SCALARS.items() if scalar.startswith(prefix))
    return metrics.get(scalar.removeprefix(METRICS)) or next(prefixed, UNBOUNDED)
