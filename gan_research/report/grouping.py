"""Groups of runs, and runs that meet conditions."""

from collections.abc import Sequence

from gan_research.config.keys import KEYS
from gan_research.report.records import Record
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
