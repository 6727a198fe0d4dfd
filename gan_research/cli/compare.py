"""`gan compare`: variants, and how surely one is better than another."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_research.utils.errors import UserError

if TYPE_CHECKING:
    from gan_research.report.comparison import Comparison

PAGE = Path("compare.html")


def main(arguments: list[str]) -> int:
    """Run `gan compare` with these arguments; the exit status."""
    options = parser().parse_args(arguments)
    if not options.paths:
        raise UserError("give run folders, sweep folders, folders of runs, or wandb:[ENTITY/]PROJECT")
    comparison = compared(options, options.paths, shlex.join(["gan", "compare", *arguments]))
    from gan_research.report.table import show

    show(comparison)
    for path in written(comparison, options):
        print(f"written: {path}")
    return 0


def compared(options: argparse.Namespace, paths: Sequence[str | Path], command: str) -> "Comparison":
    """The comparison of what is there now, as the options choose."""
    from gan_research.report.comparison import compare
    from gan_research.report.grouping import chosen_runs
    from gan_research.report.read import read

    records, notes = read(paths)
    return compare(
        chosen_runs(records, options.where),
        by=options.by,
        metrics=[name for names in options.metric for name in names.split(",")] or None,
        axis=options.axis,
        at=options.at,
        notes=notes,
        command=command,
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="gan compare",
        description="Compare runs: their numbers at equal budget, with intervals over training seeds. Prints a table, "
        "and writes a page of curves, distributions and samples, which works offline.",
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH",
        help="run folders, sweep folders, folders with runs at any depth, or wandb:[ENTITY/]PROJECT",
    )  # fmt: skip
    add_choices(parser)
    parser.add_argument("--html", type=Path, default=PAGE, metavar="FILE", help=f"where the page goes ({PAGE})")
    parser.add_argument("--no-html", action="store_true", help="no page")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a row for each run and metric, and the summaries")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all of it, with the command that made each run")
    return parser


def add_choices(parser: argparse.ArgumentParser) -> None:
    """What is compared, by what, and where."""
    parser.add_argument(
        "--by", default="loss", metavar="KEY",
        help="what makes a group: a choice, a setting (optimizer.generator.lr), or several: loss,regularizer (loss)",
    )  # fmt: skip
    parser.add_argument(
        "--metric", action="append", default=[], metavar="NAME", help="a column, may be given again (all that rank)"
    )
    parser.add_argument("--axis", default="round", help="of equal budgets: round, kimg or seconds (round)")
    parser.add_argument(
        "--at", type=float, metavar="X",
        help="where on the axis the numbers are taken (the furthest that all finished runs reach)",
    )  # fmt: skip
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="only such runs; may be given again"
    )


def written(comparison: "Comparison", options: argparse.Namespace) -> list[Path]:
    """Write the files that are wanted."""
    from gan_research.report.files import write_csv, write_json
    from gan_research.report.page import write_page

    wanted = {options.csv: write_csv, options.json: write_json, None if options.no_html else options.html: write_page}
    wanted.pop(None, None)
    for path, write in wanted.items():
        write(comparison, path)
    return list(wanted)
