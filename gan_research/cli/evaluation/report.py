"""The report of measurements: tables, and a JSON file that is updated with each of them."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.table import Table

from gan_research.cli.evaluation.generators import BEST
from gan_research.cli.evaluation.measurement import Measurement
from gan_research.cli.evaluation.samples import Samples
from gan_research.metrics.oracle import Check
from gan_research.utils.consoles import of_width
from gan_research.utils.files import write_atomically

WIDE = 500  # characters in a line without a terminal, so that tables aren't wrapped

TOLERANCE = 1e-4  # the largest relative difference from torch-fidelity's numbers

ARROWS = {"min": "↓", "max": "↑"}


@dataclass
class Report:
    """The measurements of a command by the names of their blocks."""

    samples: str
    reference: Samples | None
    file: Path | None = None
    blocks: dict[str, list[Measurement]] = field(default_factory=dict)

    def add(self, block: str, measurement: Measurement) -> None:
        """Add a measurement and write the file, so that it isn't lost."""
        self.blocks.setdefault(block, []).append(measurement)
        self._write()

    def add_checks(self, block: str, checks: dict[str, Check]) -> None:
        """Add torch-fidelity's numbers to the block's last measurement and write the file."""
        measurements = self.blocks[block]
        measurements[-1] = replace(measurements[-1], checks=checks)
        self._write()

    def _write(self) -> None:
        if self.file is None:
            return
        found = {
            "samples": self.samples,
            "reference": self.reference and self.reference.name,
            "reference_protocol": self.reference and self.reference.protocol,
            "evaluations": [m.as_dict() for measurements in self.blocks.values() for m in measurements],
        }
        write_atomically(self.file, json.dumps(found, indent=2).encode())

    @property
    def agrees(self) -> bool:
        """False if any number differs from torch-fidelity's by more than the tolerance."""
        checks = [check for block in self.blocks.values() for m in block for check in (m.checks or {}).values()]
        return all(check.difference <= TOLERANCE for check in checks)

    def show(self) -> None:
        """Print the numbers and the protocol of each block, and torch-fidelity's numbers if verified."""
        console = of_width(WIDE)
        reference = f", against {self.reference.name}" if self.reference else ""
        for measurements in self.blocks.values():
            first = measurements[0]
            console.print(f"\n{self.samples}{reference}", style="bold", highlight=False, soft_wrap=True)
            console.print(by_column(first) if len(measurements) == 1 else by_round(measurements))
            if first.std:
                console.print("± std over sampling seeds of one generator, not over training seeds", style="dim")
            for m in measurements:
                if m.selected_by:
                    note = f"round {m.round:,} was selected as the best {m.selected_by} of the run"
                    note += f" ({BEST}{m.selected_by}.ckpt): a selected number"
                    console.print(note, style="dim", highlight=False, soft_wrap=True)
            console.print(protocol(measurements))
            if any(m.checks for m in measurements):
                console.print(verified(measurements))


def by_column(measurement: Measurement) -> Table:
    """Return a table of one measurement: a row for each column, with its value for each sampling seed."""
    table = Table()
    table.add_column("" if measurement.round is None else f"round {measurement.round:,}")
    table.add_column("value" if not measurement.std else "mean ± std", justify="right")
    seeds = measurement.protocol.sampling_seeds if measurement.std else ()
    for seed in seeds:
        table.add_column(f"sampling seed {seed}", justify="right")
    for name in measurement.mean:
        each = [f"{numbers[name]:.6g}" for numbers in measurement.each] if seeds else []
        table.add_row(heading(measurement, name), value(measurement, name), *each)
    return table


def by_round(measurements: list[Measurement]) -> Table:
    """Return a table of a run: a row for each round, and each truncation or psi."""
    first, varied = measurements[0], varied_in(measurements)
    table = Table()
    for name in ("round", "kimg", *varied, *(heading(first, name) for name in first.mean)):
        table.add_column(name, justify="right")
    for m in measurements:
        own = [f"{getattr(m, name):g}" for name in varied]
        table.add_row(f"{m.round:,}", f"{m.kimg:,.1f}", *own, *(value(m, name) for name in m.mean))
    return table


def varied_in(measurements: list[Measurement]) -> list[str]:
    """Return the field in which measurements differ, truncation or psi, if any."""
    return [name for name in ("truncation", "psi") if len({getattr(m, name) for m in measurements}) > 1]


def heading(measurement: Measurement, name: str) -> str:
    """Return the column's name with its direction: "fid ↓" if lower is better."""
    return f"{name} {ARROWS[measurement.better[name]]}" if name in measurement.better else name


def value(measurement: Measurement, name: str) -> str:
    """Format a mean: 12.3456, or 12.3456 ± 0.12."""
    spread = f" ± {measurement.std[name]:.2g}" if measurement.std else ""
    return f"{measurement.mean[name]:.6g}{spread}"


def protocol(measurements: list[Measurement]) -> Table:
    """Return a table of the protocol, without a truncation or psi in which measurements differ."""
    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column(style="dim")
    table.add_column(style="dim", overflow="fold")
    varied = varied_in(measurements)
    for name, content in measurements[0].protocol.as_dict().items():
        if name not in varied:
            table.add_row(name, "" if content is None else str(content))
    return table


def verified(measurements: list[Measurement]) -> Table:
    """Return a table of the numbers and torch-fidelity's."""
    table = Table(title="verified by torch-fidelity", title_justify="left")
    first, varied = measurements[0], varied_in(measurements)
    table.add_column("" if first.round is None else f"round, sampling seed {first.protocol.sampling_seeds[0]}")
    for name in ("column", "ours", "torch-fidelity", "relative difference"):
        table.add_column(name, justify="left" if name == "column" else "right")
    for m in measurements:
        for name, check in (m.checks or {}).items():
            numbers = f"{check.ours:.8g}", f"{check.theirs:.8g}", f"{check.difference:.1e}"
            own = [f"{name} {getattr(m, name):g}" for name in varied]
            table.add_row("" if m.round is None else ", ".join([f"{m.round:,}", *own]), name, *numbers)
    return table
