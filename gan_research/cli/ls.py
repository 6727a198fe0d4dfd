"""`gan ls`: the runs in folders, with the state of each."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gan_research.utils.consoles import of_width
from gan_research.utils.texts import bytes_text, duration

if TYPE_CHECKING:
    from gan_research.report.listing import Entry

WIDE = 500  # characters in a line without a terminal, so that tables aren't wrapped
STYLES = {"running": "green", "failed": "red"}


def main(arguments: list[str]) -> int:
    """Run `gan ls` with these arguments and return the exit status."""
    options = parser().parse_args(arguments)
    from gan_research.report.listing import json_of, list_runs

    entries, notes = list_runs(options.folders or [Path("runs")])
    entries.sort(key=lambda entry: sort_key(entry, options.sort))
    if options.json:
        print(json_of(entries))
        return 0
    count = f"{len(entries)} run{'s' * (len(entries) != 1)}"
    print_entries(entries, f"{count}, {bytes_text(sum(entry.size for entry in entries))}")
    for note in notes:
        print(f"note: {note}")
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan ls", description="List the runs in folders, at any depth, the latest first."
    )
    parser.add_argument("folders", nargs="*", type=Path, metavar="DIR", help="folders with runs, or runs (runs)")
    parser.add_argument(
        "--sort", choices=("age", "name", "state", "metric", "size"), default="age", help="the order (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list, with times in seconds, sizes in bytes")
    return parser


def sort_key(entry: "Entry", by: str) -> Any:
    """Return the value by which a run is sorted; the latest, the best and the largest come first."""
    value = (entry.value or 0.0) * (-1 if entry.better == "max" else 1)
    metric = (entry.value is None, entry.metric or "", value)
    keys = {"age": entry.age, "name": str(entry.folder), "state": entry.state, "metric": metric, "size": -entry.size}
    return keys[by]


def print_entries(entries: Sequence["Entry"], caption: str) -> None:
    """Print a table of runs."""
    console = of_width(WIDE)
    table = Table(box=None, padding=(0, 2, 0, 0), caption=caption, caption_justify="left")
    for name in ("state", "round", "metric", "age", "size", "run"):
        table.add_column(name, justify="right" if name in ("round", "age", "size") else "left", overflow="fold")
    for entry in entries:
        values = round_of(entry), metric_of(entry), duration(entry.age), bytes_text(entry.size), str(entry.folder)
        table.add_row(Text(entry.state, STYLES.get(entry.state, "")), *map(Text, values))
    console.print(table)


def round_of(entry: "Entry") -> str:
    """Return "200/5,000"."""
    return f"{entry.round:,}" if entry.rounds is None else f"{entry.round:,}/{entry.rounds:,}"


def metric_of(entry: "Entry") -> str:
    """Return "fid 7.5", with the round if it was measured before the last one; "" if nothing was."""
    if entry.value is None:
        return ""
    return f"{entry.metric} {entry.value:.4g}" + f" (round {entry.measured:,})" * (entry.measured != entry.round)
