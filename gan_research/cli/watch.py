"""`gan watch`: the page of `gan compare`, updated as the runs are trained."""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from gan_research.cli.arguments import add_address, announce
from gan_research.cli.compare import add_choices, compare_now
from gan_research.utils.errors import UserError


def main(arguments: list[str]) -> int:
    """Run `gan watch` with these arguments until Ctrl-C; return the exit status."""
    options = parser().parse_args(arguments)
    if not options.folder.is_dir():
        raise UserError(f"there is no folder {options.folder}: give the folder of a run, of a sweep, or of runs")
    from gan_research.report.folders import walk
    from gan_research.report.page.page import Content, content_of
    from gan_research.report.serve import Live, open_server, signature

    def make() -> Content:
        comparison = compare_now(options, [options.folder], command(options))
        return content_of(replace(comparison, notes=[*sweep_notes(options.folder), *comparison.notes]))

    if next(walk(options.folder), None) is not None:
        make()  # raises now if --by or --metric is wrong
    live = Live(make, lambda: signature(options.folder))
    with open_server(live, options.host, options.port) as server:
        announce(f"{options.folder} at {server.url}", options.host, "see these runs")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan watch", description="Serve the page of gan compare on this machine, updated as the runs are trained."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a run, a sweep, or a folder with runs")
    add_choices(parser)
    add_address(parser)
    return parser


def sweep_notes(folder: Path) -> list[str]:
    """Return the progress of a sweep, and of the trials that it trains now; nothing for another folder."""
    from gan_research.sweeps.progress import progress, progress_of
    from gan_research.sweeps.sweep import RECORD, Sweep

    if not (folder / RECORD).is_file():
        return []
    sweep = Sweep.open(folder)
    trials = sweep.snapshot()
    running = [trial for trial in trials if trial.state == "running"]
    now = [f"trial {trial.number} ({trial.text}): round {progress_of(trial, sweep.rounds)}" for trial in running]
    return [f"{sweep.name}: {progress(trials, sweep.total, sweep.rounds)}", *now]


def command(options: argparse.Namespace) -> str:
    """Return the `gan compare` command that makes the same page."""
    argv = ["gan", "compare", str(options.folder), *(["--by", options.by] if options.by else [])]
    argv += ["--axis", options.axis]
    argv += [] if options.at is None else ["--at", f"{options.at:g}"]
    for name in ("metric", "where"):
        argv += [part for value in getattr(options, name) for part in (f"--{name}", value)]
    return shlex.join(argv)
