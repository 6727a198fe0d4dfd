"""The check that the metrics of some runs were measured by the same protocol."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gan_research.config.upgrade import FILE_FIELDS, upgraded_protocol
from gan_research.report.records import METRICS, Record
from gan_research.utils.errors import UserError

OWN = (
    "ema", "batch_statistics", "sampling", "truncation", "standing_statistics", "psi", "cutoff", "psi_by_class",
    "noise",
)  # fmt: skip
"""The generator's fields of a protocol: runs of one group must agree on them, groups may differ."""


def refuse_mixed(groups: Mapping[str, Sequence[Record]], metrics: Sequence[str]) -> None:
    """Raise a UserError with the differing runs and fields unless each metric has one protocol."""
    for metric in metrics:
        measured = [(g, r, p) for g, records in groups.items() for r in records for p in protocols_of(r, metric)]
        settings = [set(protocol.get("settings") or {}) for _, _, protocol in measured]
        shared = set.intersection(*settings) if settings else set()
        shared = {metric} if metric in shared else shared  # metrics whose settings apply to this column
        first: dict[str | None, tuple[Record, dict[str, str]]] = {}  # of each group, and of all
        for group, record, protocol in measured:
            fields = fields_of(protocol, shared)
            common = {key: value for key, value in fields.items() if key not in OWN}
            refuse_other(metric, *first.setdefault(group, (record, fields)), record, fields)
            refuse_other(metric, *first.setdefault(None, (record, common)), record, common)


def unknown_protocols(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    """Return a note on the runs without a recorded protocol, if there are any."""
    measured = [(r, metric) for r in records for metric in metrics if r.points(METRICS + metric, "round")]
    unknown = dict.fromkeys(record.source for record, metric in measured if not protocols_of(record, metric))
    return [f"protocol not recorded, so these runs may not be comparable: {', '.join(unknown)}"] if unknown else []


def protocols_of(record: Record, metric: str) -> list[dict[str, Any]]:
    """Return the distinct protocols of a run's values of a metric; none for old rows."""
    rows = (row for row in record.rows if METRICS + metric in row and isinstance(row.get("protocol"), dict))
    protocols = [upgraded_protocol(row["protocol"]) for row in rows]
    return list({json.dumps(protocol, sort_keys=True): protocol for protocol in protocols}.values())


def fields_of(protocol: dict[str, Any], shared: set[str]) -> dict[str, str]:
    """Return name -> value as text of all fields that apply to a metric."""
    settings = {f"settings of {name}": (protocol.get("settings") or {}).get(name) for name in sorted(shared)}
    fields = {key: value for key, value in protocol.items() if key not in ("settings", *FILE_FIELDS)} | settings
    return {key: json.dumps(value, sort_keys=True).strip('"') for key, value in fields.items()}


def refuse_other(metric: str, a: Record, fields_a: dict[str, str], b: Record, fields_b: dict[str, str]) -> None:
    """Raise a UserError if two runs, or two evaluations of one run, differ."""
    names = [name for name in dict.fromkeys([*fields_a, *fields_b]) if fields_a.get(name) != fields_b.get(name)]
    if not names:
        return
    what = "; ".join(f"{name}: {fields_a.get(name, 'absent')} and {fields_b.get(name, 'absent')}" for name in names)
    runs = f"{a.source} changed" if a is b else f"{a.source} and {b.source} differ in"
    problem = f"{metric} was measured by different protocols and can't be compared: {runs} {what}"
    raise UserError(f"{problem}; select comparable runs with --where KEY=VALUE, or other metrics with --metric NAME")
