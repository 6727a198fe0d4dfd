"""Numbers of different protocols don't compare: whether those of some runs do."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gan_research.config.upgrade import upgraded_protocol
from gan_research.report.records import Record
from gan_research.utils.errors import UserError

OWN = ("ema", "batch_statistics", "sampling")
"""What a protocol says of the generator: runs of one group agree on it, groups may differ in it."""


def refuse_mixed(groups: Mapping[str, Sequence[Record]], metrics: Sequence[str]) -> None:
    """Raise a UserError, which says who differs in what, unless each metric was measured in one way."""
    for metric in metrics:
        shared = names_of_settings(groups, metric)
        first: tuple[Record, dict[str, str]] | None = None
        for group in groups.values():
            first_here: tuple[Record, dict[str, str]] | None = None
            for record in group:
                for protocol in protocols_of(record, metric):
                    whole = fields_of(protocol, metric, shared)
                    common = {key: value for key, value in whole.items() if key not in OWN}
                    first_here, first = first_here or (record, whole), first or (record, common)
                    refuse_other(metric, *first_here, record, whole)
                    refuse_other(metric, *first, record, common)


def unknown_protocols(records: Sequence[Record], metrics: Sequence[str]) -> list[str]:
    """A note of the runs that don't say how they were measured, if there are such."""
    silent = [
        record.source
        for record in records
        if any(record.points(f"metrics/{m}", "round") and not protocols_of(record, m) for m in metrics)
    ]
    return [f"how they were measured isn't known of {', '.join(silent)}: do they compare?"] if silent else []


def names_of_settings(groups: Mapping[str, Sequence[Record]], metric: str) -> set[str]:
    """The metrics whose own settings say how a column was measured: its own; by another name, all that runs share."""
    found = [
        set(protocol.get("settings") or {})
        for group in groups.values()
        for record in group
        for protocol in protocols_of(record, metric)
    ]
    shared = set.intersection(*found) if found else set()
    return {metric} if metric in shared else shared


def protocols_of(record: Record, metric: str) -> list[dict[str, Any]]:
    """The protocols, each once, by which a run's numbers of a metric were measured; of old rows, none."""
    rows = (row for row in record.rows if f"metrics/{metric}" in row and isinstance(row.get("protocol"), dict))
    protocols = [upgraded_protocol(row["protocol"]) for row in rows]
    return list({json.dumps(protocol, sort_keys=True): protocol for protocol in protocols}.values())


def fields_of(protocol: dict[str, Any], metric: str, shared: set[str]) -> dict[str, str]:
    """name -> value as text, of all that counts for a metric."""
    settings = {f"settings of {name}": (protocol.get("settings") or {}).get(name) for name in sorted(shared)}
    fields = {key: value for key, value in protocol.items() if key != "settings"} | settings
    return {key: json.dumps(value, sort_keys=True).strip('"') for key, value in fields.items()}


def refuse_other(metric: str, a: Record, of_a: dict[str, str], b: Record, of_b: dict[str, str]) -> None:
    """Raise where two runs, or two evaluations of one, differ."""
    names = [name for name in dict.fromkeys([*of_a, *of_b]) if of_a.get(name) != of_b.get(name)]
    if not names:
        return
    what = "; ".join(f"{name}: {of_a.get(name, 'absent')} and {of_b.get(name, 'absent')}" for name in names)
    who = f"{a.source} changed" if a is b else f"{a.source} and {b.source} differ in"
    raise UserError(
        f"{metric} was measured by different protocols, whose numbers don't compare: {who} {what}; choose runs by "
        f"--where KEY=VALUE, or what agrees by --metric NAME"
    )
