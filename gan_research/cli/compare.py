"""`gan compare`: variants, and how certain it is that one is better than another."""

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gan_research.utils.errors import UserError
from gan_research.utils.files import free_name
from gan_research.utils.paths import require_path
from gan_research.utils.renamed import renamed_argument

PAGE = "compare.html"

if TYPE_CHECKING:
    from gan_research.report.comparison import Comparison


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    if not options.paths:
        raise UserError("give run folders, sweep folders, folders of runs, or wandb:[ENTITY/]PROJECT")
    if options.figures is not None and options.figures.exists() and not options.figures.is_dir():
        raise UserError(f"--figures {options.figures} is a file: give a folder")
    comparison = compare_now(options, options.paths, shlex.join(["gan", "compare", *arguments]))
    from gan_research.report.table import print_comparison

    print_comparison(comparison)
    write_files(comparison, options)
    return 0


def compare_now(options: argparse.Namespace, paths: Sequence[str | Path], command: str) -> "Comparison":
    """Read the runs and compare them as the options specify."""
    for path in paths:
        if not str(path).startswith("wandb:"):
            require_path(path)
    from gan_research.report.comparison import compare
    from gan_research.report.grouping import default_by, select_runs
    from gan_research.report.read import read

    records, notes = read(paths)
    selected = select_runs(records, options.where)
    notes += [note for record in records if not record.config for note in record.notes]  # it may meet the conditions
    return compare(
        selected,
        by=options.by or default_by(selected),
        metrics=[renamed_argument(name) for names in options.metric for name in names.split(",")] or None,
        axis=options.axis,
        at=options.at,
        notes=notes,
        command=command,
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan compare",
        description="Compare runs at equal budget, with intervals over training seeds. Prints a table, and writes a "
        "page of curves, distributions and samples, that works offline, into the folder of the runs.",
    )
    parser.add_argument(
        "paths", nargs="*", metavar="PATH",
        help="run folders, sweep folders, folders with runs at any depth, or wandb:[ENTITY/]PROJECT",
    )  # fmt: skip
    add_choices(parser)
    parser.add_argument(
        "--html", type=Path, metavar="FILE",
        help="write the page to FILE (compare.html in the folder of the runs; compare-2.html, ... if that exists)",
    )  # fmt: skip
    parser.add_argument(
        "--figures", type=Path, metavar="DIR",
        help="write curves, distributions and P(A better) to DIR as SVG and PDF, and table.tex for LaTeX",
    )  # fmt: skip
    parser.add_argument("--no-html", action="store_true", help="write no page")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a row for each run and metric, and summaries")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, with the command of each run")
    return parser


def add_choices(parser: argparse.ArgumentParser) -> None:
    """Add the options that select runs, groups, metrics and the budget."""
    parser.add_argument(
        "--by", metavar="KEY",
        help="group by a choice, a setting (optimizer.generator.lr), or several: loss,regularizer (variant if the runs "
        "have any, else loss)",
    )  # fmt: skip
    parser.add_argument(
        "--metric", action="append", default=[], metavar="NAME", help="compare this column; repeatable (all that rank)"
    )
    parser.add_argument("--axis", default="round", help="the unit of the budget: round, kimg or seconds (%(default)s)")
    parser.add_argument(
        "--at", type=float, metavar="X",
        help="the position on the axis at which to compare (the last that all finished runs reach, except short ones)",
    )  # fmt: skip
    parser.add_argument(
        "--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this setting; repeatable"
    )


def write_files(comparison: "Comparison", options: argparse.Namespace) -> None:
    """Write the page and the other files, and print their names."""
    from gan_research.report.files import write_csv, write_json
    from gan_research.report.page import write_page

    page = None if options.no_html else options.html or page_path(options.paths)
    for path, write in {options.csv: write_csv, options.json: write_json, page: write_page}.items():
        if path is not None:
            word = "replaced" if path.exists() else "written"
            write(comparison, path)
            print(f"{word}: {path}")
    if options.figures is not None:
        from gan_research.report.paper import write_paper  # matplotlib takes time to import

        names = write_paper(comparison, options.figures)
        print(f"written: {options.figures}: table.tex, and as SVG and PDF: {', '.join(names) or 'no figure'}")


def page_path(paths: Sequence[str]) -> Path:
    """Return a new compare.html in the folder of all runs; in the working directory if there is none to write to."""
    folders = [path for path in paths if not path.startswith("wandb:")]
    folder = Path(folders[0] if len(folders) == 1 else os.path.commonpath(map(os.path.abspath, folders or ["."])))
    if folder == Path(folder.anchor) or not os.access(folder, os.W_OK):
        folder = Path()
    return free_name(folder.relative_to(Path.cwd()) / PAGE if folder.is_relative_to(Path.cwd()) else folder / PAGE)
