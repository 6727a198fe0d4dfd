"""Comparisons written as CSV and as JSON."""

import csv
import io
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from gan_research.report.comparison import Comparison, Pair
from gan_research.report.records import Record
from gan_research.utils.files import as_json, write_atomically

COLUMNS = (
    "kind", "metric", "group", "run", "seed", "state", "warning", "value", "runs", "mean", "median", "std", "low",
    "high", "interval", "other", "probability", "difference", "p", "p_holm", "axis", "position", "source", "command",
)  # fmt: skip


def write_csv(comparison: Comparison, path: Path) -> None:
    """Write a row for each metric and run ("run"), group ("summary") and pair ("pair").

    low, high: the 95 % interval of the mean; of a pair, of the difference group - other.
    """
    content = io.StringIO()
    writer = csv.DictWriter(content, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for metric in comparison.metrics:
        for group, records in comparison.groups.items():
            common = {"metric": metric, "group": group, "axis": comparison.axis, "position": comparison.position}
            writer.writerows(common | row for row in rows_of(comparison, metric, group, records))
            pairs = (pair for pair in comparison.pairs if (pair.metric, pair.a) == (metric, group))
            writer.writerows(common | pair_row(pair) for pair in pairs)
    write_atomically(path, content.getvalue().encode(errors="replace"))


def rows_of(comparison: Comparison, metric: str, group: str, records: list[Record]) -> list[dict[str, Any]]:
    summary = comparison.summaries[metric].get(group)
    values = summary.values if summary is not None else {}
    rows: list[dict[str, Any]] = [
        {"kind": "run", "run": r.name, "seed": r.seed, "state": r.state, "value": values.get(r.id)}
        | {"warning": ", ".join(comparison.warnings.get(r.id, [])), "source": r.source, "command": r.command}
        for r in records
    ]
    if summary is not None:
        low, high = summary.interval or (None, None)
        numbers = {"mean": summary.mean, "median": summary.median, "std": summary.std, "low": low, "high": high}
        counted = {"runs": comparison.counted(metric, group), "interval": summary.method}
        rows.append({"kind": "summary", **counted, **numbers, "command": comparison.command})
    return rows


def pair_row(pair: Pair) -> dict[str, Any]:
    low, high = pair.difference_interval or (None, None)
    numbers = {"probability": pair.probability, "difference": pair.difference, "low": low, "high": high}
    return {"kind": "pair", "other": pair.b, "p": pair.p_value, "p_holm": pair.p_holm, **numbers}


def write_json(comparison: Comparison, path: Path) -> None:
    """Write all of the comparison except the runs' histories and samples."""
    records = [*comparison.records, *comparison.failed]
    content = fields_of(comparison) | {
        "groups": {group: [record.id for record in runs] for group, runs in comparison.groups.items()},
        "failed": [record.id for record in comparison.failed],
        "summaries": {m: {g: asdict(s) for g, s in groups.items()} for m, groups in comparison.summaries.items()},
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "runs": {record.id: fields_of(record, "rows", "samples") for record in records},
    }
    write_atomically(path, json.dumps(as_json(content), indent=2, allow_nan=False).encode())


def fields_of(instance: Any, *without: str) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance) if field.name not in without}
