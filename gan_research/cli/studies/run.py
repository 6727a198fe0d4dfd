"""What all studies share: the run that they leave behind, its loggers, and the table of what came of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from gan_research.cli.arguments import Arguments
from gan_research.config.build import make
from gan_research.config.compose import Composition, choice, groups
from gan_research.losses import AdversarialLoss
from gan_research.runs.history import History
from gan_research.runs.run import Run
from gan_research.theory.publishing import publish as write_study


class StudyRun:
    """The run of a study: its folder and loggers, which are finished whatever happens inside."""

    def __init__(self, given: Arguments, composition: Composition, name: str):
        config = composition.config
        of = "+".join([composition.choices["loss"], *(config["regularizer"] or {})])
        every_loss = name == "losses" or name == "dirac-all" or (name == "saturation" and not given.sets("loss"))
        stem = f"theory-{name}" if every_loss else f"theory-{name}-{of}"
        self.name = name
        self.run = Run.create(
            Path(config["output"]), f"{stem}-s{config['seed']}", stem, config["tags"], given.overrides, given.config_dir
        )
        self.run.begin(config)
        self.loggers = [History(self.run), *(make(node, run=self.run) for node in (config["logger"] or {}).values())]

    def __enter__(self) -> "StudyRun":
        return self

    def publish(
        self,
        numbers: dict[Any, Any],
        figure: Any,
        rows: list[tuple[str, ...]],
        film: Iterable[Any] | None = None,
        header: tuple[str, ...] = (),
    ) -> int:
        """Write and show what came of it; the exit status."""
        folder = self.run.folder / "theory"
        write_study(folder, self.name, numbers, figure, film, self.loggers)
        report(self.name, rows, folder, header)
        return 0

    def __exit__(self, kind: Any, *rest: Any) -> None:
        for logger in self.loggers:
            logger.finalize("success" if kind is None else "failed")


def publish(given: Arguments, composition: Composition, name: str, *result: Any) -> int:
    """A study that was computed in one go: its run, with all that came of it."""
    with StudyRun(given, composition, name) as study:
        return study.publish(*result)


def report(name: str, rows: Iterable[tuple[str, ...]], folder: Path, header: tuple[str, ...] = ()) -> None:
    """The numbers as a table, and where the files are."""
    console = Console()
    columns = [Column(heading, overflow="fold") for heading in header]
    table = Table(*columns, title=f"theory: {name}", show_header=bool(header), title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for path in sorted(folder.iterdir()):
        console.print(str(path), highlight=False, soft_wrap=True)


def shown(value: float | None) -> str:
    """A number in a table; None where it is infinite or isn't known."""
    return "-" if value is None else f"{value:.6g}"


def all_losses(given: Arguments) -> dict[str, AdversarialLoss]:
    """Every choice of the group, the user's own as well."""
    return {name: make(node) for name, node in all_choices(given, "loss").items()}


def all_choices(given: Arguments, group: str) -> dict[str, dict[str, Any]]:
    return {name: choice(group, name, given.config_dir) for name in groups(given.config_dir)[group]}
