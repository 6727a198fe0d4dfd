"""Which runs belong together, and which of their columns rank them."""

from collections.abc import Sequence
from typing import Any

from gan_research.report.records import Record
from gan_research.report.settings import shown
from gan_research.utils.errors import UserError, did_you_mean

PREFIX = "metrics/"


def grouped(records: Sequence[Record], by: str) -> tuple[dict[str, list[Record]], list[str]]:
    """group -> its runs, by the values of the settings `by`; and notes of runs of which they aren't known."""
    keys = [key.strip() for key in by.split(",")]
    for key in keys:
        require_setting(key, records)
    found: dict[tuple[str, ...], list[Record]] = {}
    unknown = []
    for record in records:
        if not record.facts or (not record.rows and any(key not in record.facts for key in keys)):
            unknown.append(record)
        else:
            found.setdefault(tuple(shown(record.value(key)) for key in keys), []).append(record)
    notes = [f"{record.source} is left out: its {by} isn't known" for record in unknown]
    return {", ".join(values): found[values] for values in ordered(list(found))}, notes


def require_setting(key: str, records: Sequence[Record]) -> None:
    """Raise a UserError unless some run has this setting."""
    known = {name for record in records for name in record.facts}
    if not known:
        raise UserError("of none of these runs the settings are known: there is nothing to group them by")
    if key not in known:
        whole = sorted(name for name in known if name.endswith(f".{key}"))
        near = did_you_mean(key, known if "." in key else (name for name in known if "." not in name))
        hint = f"its full name may be {' or '.join(whole)}" if whole else near
        raise UserError(f"these runs have no setting '{key}': {hint}")


def ordered(groups: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """By the values, those of a setting as numbers where all of them are."""
    columns = list(zip(*groups, strict=True))
    numeric = [all(number(text) is not None for text in column) for column in columns]
    return sorted(groups, key=lambda g: [number(v) if n else v for v, n in zip(g, numeric, strict=True)])


def number(text: str) -> float | None:
    """The number that a text is, if it is one."""
    try:
        return float(text)
    except ValueError:
        return None


def chosen_runs(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """The runs that meet all conditions KEY=VALUE. Raises a UserError where none does, or there is no such setting."""
    kept = list(records)
    for condition in conditions:
        key, equals, wanted = condition.partition("=")
        if not equals:
            raise UserError(f"--where {condition}: give KEY=VALUE")
        require_setting(key, records)
        values = {shown(record.value(key)) for record in kept}
        kept = [record for record in kept if is_same(shown(record.value(key)), wanted)]
        if not kept:
            raise UserError(f"no run has {condition}: {did_you_mean(wanted, values)}")
    return kept


def is_same(text: str, wanted: str) -> bool:
    """Whether both are one text, or one number: 1e-3, 0.001."""
    return text == wanted or (number(text) is not None and number(text) == number(wanted))


def directions(records: Sequence[Record], metrics: Sequence[str] | None) -> dict[str, str]:
    """column -> "min" or "max", of what ranks generators and some run has measured, or of `metrics` among these."""
    rows = [row for record in records for row in record.rows if any(name.startswith(PREFIX) for name in row)]
    columns = dict.fromkeys(name.removeprefix(PREFIX) for row in rows for name in row if name.startswith(PREFIX))
    ways = {name: way for row in rows for name, way in as_mapping(row.get("better")).items()}
    if not all("better" in row for row in rows):
        ways = {name: way for name in columns if (way := usual(name)) is not None} | ways
    found = {name: ways[name] for name in columns if ways.get(name) in ("min", "max")}
    if metrics is None:
        return found
    wanted = [metric.removeprefix(PREFIX) for metric in metrics]
    for metric in wanted:
        if metric not in found:
            raise UserError(
                f"no run has a metric '{metric}' by which generators are ranked: {did_you_mean(metric, found)}"
            )
    return {metric: found[metric] for metric in wanted}


def as_mapping(value: Any) -> dict[str, Any]:
    """The value, where it is a mapping."""
    return value if isinstance(value, dict) else {}


def usual(column: str) -> str | None:
    """Which value of a column is better, for histories that don't say; None of what doesn't rank generators."""
    from gan_research.metrics.base import METRICS

    known = {name: way for metric in METRICS.values() for name, way in getattr(metric, "columns", {}).items()}
    if column.removeprefix("i").startswith(("fid", "fd_")) and not column.endswith("_perfect"):
        return "min"
    return known.get(column)
