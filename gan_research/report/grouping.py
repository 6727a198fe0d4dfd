"""Groups of runs, and the columns of metrics that rank them."""

from collections.abc import Sequence

from gan_research.config.keys import KEYS
from gan_research.report.records import METRICS, Record
from gan_research.report.settings import format_value
from gan_research.utils.errors import UserError, did_you_mean
from gan_research.utils.texts import short_names


def group_runs(records: Sequence[Record], by: str) -> tuple[dict[str, list[Record]], list[str]]:
    """Return group -> its runs, by the values of the settings `by`; and notes on runs whose values aren't known."""
    keys = [key.strip() for key in by.split(",")]
    for key in keys:
        require_setting(key, records)
    groups: dict[tuple[str, ...], list[Record]] = {}
    notes = []
    for record in records:
        if not record.facts or (not record.rows and any(key not in record.facts for key in keys)):
            notes.append(f"{record.source} is left out: its {by} isn't known")
        else:
            groups.setdefault(tuple(format_value(record.facts.get(key)) for key in keys), []).append(record)
    # sorted by their values, numerically where all are numbers
    numeric = [all(as_number(text) is not None for text in column) for column in zip(*groups, strict=True)]
    order = sorted(groups, key=lambda g: [as_number(v) if n else v for v, n in zip(g, numeric, strict=True)])
    return {", ".join(labels(keys, values)): groups[values] for values in order}, notes


def labels(keys: Sequence[str], values: Sequence[str]) -> list[str]:
    """Return "hinge" for a choice, and "lr=0.001" for another setting."""
    chosen = [key in ("variant", "experiment") or (key in KEYS and KEYS[key].base is not None) for key in keys]
    return [v if bare else f"{k}={v}" for k, v, bare in zip(short_names(keys), values, chosen, strict=True)]


def default_by(records: Sequence[Record]) -> str:
    """Return the setting that groups runs if none is given: their variants, else their losses."""
    return "variant" if any("variant" in record.config for record in records) else "loss"


def require_setting(key: str, records: Sequence[Record]) -> None:
    """Raise a UserError unless some run has this setting."""
    known = {name for record in records for name in record.facts}
    if not known:
        raise UserError("no run's settings are known: there is nothing to group by")
    if key not in known:
        full = " or ".join(sorted(name for name in known if name.endswith(f".{key}")))
        near = did_you_mean(key, known if "." in key else (name for name in known if "." not in name))
        raise UserError(f"these runs have no setting '{key}': " + (f"its full name may be {full}" if full else near))


def as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def select_runs(records: Sequence[Record], conditions: Sequence[str]) -> list[Record]:
    """Return the runs that meet all conditions KEY=VALUE; raise a UserError if none do."""
    kept = list(records)
    for condition in conditions:
        key, equals, wanted = condition.partition("=")
        if not equals:
            raise UserError(f"--where {condition}: give KEY=VALUE")
        require_setting(key, records)
        values = {record.id: format_value(record.facts.get(key)) for record in kept}
        same = {wanted, as_number(wanted)} - {None}  # 1e-3 is 0.001
        kept = [record for record in kept if same & {values[record.id], as_number(values[record.id])}]
        if not kept:
            raise UserError(f"no run has {condition}: {did_you_mean(wanted, set(values.values()))}")
    return kept


def directions(records: Sequence[Record], metrics: Sequence[str] | None) -> dict[str, str]:
    """Return column -> "min" or "max", for metrics that rank generators."""
    rows = [row for record in records for row in record.rows if any(name.startswith(METRICS) for name in row)]
    columns = dict.fromkeys(name.removeprefix(METRICS) for row in rows for name in row if name.startswith(METRICS))
    recorded = [row["better"] for row in rows if isinstance(row.get("better"), dict)]
    better = {column: way for mapping in recorded for column, way in mapping.items()}
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


def known_direction(column: str) -> str | None:
    """Return "min" or "max" for a column of an old history; None if it doesn't rank generators."""
    from gan_research.metrics.base import METRICS as CLASSES

    if column.removeprefix("i").startswith(("fid", "fd_")) and not column.endswith("_perfect"):
        return "min"
    known = {name: way for metric in CLASSES.values() for name, way in getattr(metric, "columns", {}).items()}
    return known.get(column)
