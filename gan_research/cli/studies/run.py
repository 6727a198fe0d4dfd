"""The run of a study, its loggers, and the table of its results."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from gan_research.cli.arguments import Arguments
from gan_research.config.build import make
from gan_research.config.compose import Composition, choice, current_choices
from gan_research.losses import AdversarialLoss
from gan_research.runs.history import History
from gan_research.runs.run import Run
from gan_research.theory.analysis import publish as write_study


class StudyRun:
    """The run of a study: its folder and loggers, a context manager that finalizes them."""

    def __init__(self, arguments: Arguments, composition: Composition, name: str):
        config = composition.config
        self.name, stem = name, f"theory-{name}"
        every_loss = name in ("losses", "conditioning", "dirac-all") or (
            name == "saturation" and not arguments.sets("loss")
        )
        if not every_loss:
            parts = [composition.choices["loss"], *(config["regularizer"] or {}), *(config["augment"] or {})]
            stem += "-" + "+".join(parts)
        output, full = Path(config["output"]), f"{stem}-s{config['seed']}"
        self.run = Run.create(output, full, stem, config["tags"], arguments.overrides, arguments.config_dir)
        self.run.begin(config)
        self.loggers = [History(self.run), *(make(node, run=self.run) for node in (config["logger"] or {}).values())]

    def __enter__(self) -> "StudyRun":
        return self

    def publish(
        self,
        numbers: dict[Any, Any],
        figure: Any,
        rows: list[tuple[str, ...]] | str,
        film: Iterable[Any] | None = None,
        header: tuple[str, ...] = (),
    ) -> int:
        """Write, log and print the results, and return exit status 0."""
        folder = self.run.folder / "theory"
        write_study(folder, self.name, numbers, figure, film, self.loggers, round=0)
        report(self.name, rows, folder, header)
        return 0

    def __exit__(self, kind: Any, *rest: Any) -> None:
        for logger in self.loggers:
            logger.finalize("success" if kind is None else "failed")


def publish(arguments: Arguments, composition: Composition, name: str, *result: Any) -> int:
    """Publish the results of a study that needs no run while it is computed."""
    with StudyRun(arguments, composition, name) as study:
        return study.publish(*result)


def report(name: str, rows: Iterable[tuple[str, ...]] | str, folder: Path, header: tuple[str, ...] = ()) -> None:
    """Print the numbers, as a table or as text, and the paths of files."""
    console = Console()
    if isinstance(rows, str):
        console.print(f"theory: {name}", rows, sep="\n\n", highlight=False, markup=False, soft_wrap=True)
    else:
        columns = [Column(heading, overflow="fold") for heading in header]
        table = Table(*columns, title=f"theory: {name}", show_header=bool(header), title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for path in sorted(folder.iterdir()):
        console.print(str(path), highlight=False, soft_wrap=True)


def format_value(value: float | None) -> str:
    """Format a number in a table; None is infinite or unknown."""
    return "-" if value is None else f"{value:.6g}"


def all_losses(arguments: Arguments) -> dict[str, AdversarialLoss]:
    """Build all losses of the config tree, those of the user included."""
    return {name: make(node) for name, node in all_choices(arguments, "loss").items()}


def all_choices(arguments: Arguments, group: str) -> dict[str, dict[str, Any]]:
    """Return the nodes of a group's choices by name, without deprecated ones."""
    return {name: choice(group, name, arguments.config_dir) for name in current_choices(group, arguments.config_dir)}
