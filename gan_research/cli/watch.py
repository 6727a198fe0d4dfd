"""`gan watch`: the page of `gan compare`, while the runs go on."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gan_research.cli.compare import add_choices, compared
from gan_research.utils.errors import UserError

if TYPE_CHECKING:
    pass


def main(arguments: list[str]) -> int:
    """Run `gan watch` with these arguments until Ctrl-C; the exit status."""
    options = parser().parse_args(arguments)
    if not options.folder.is_dir():
        raise UserError(f"there is no folder {options.folder}: give the folder of a run, of a sweep, or of runs")

    from gan_research.report.folders import walk
    from gan_research.report.page.page import Content, content_of
    from gan_research.report.serve import LOOPBACK, Live, open_server, signature

    def make() -> Content:
        return content_of(compared(options, [options.folder], command(options)))

    if next(walk(options.folder), None) is not None:
        make()  # a wrong --by or --metric is told here
    live = Live(make, lambda: signature(options.folder))
    with open_server(live, options.host, options.port) as server:
        print(f"{options.folder} at {server.url} (Ctrl-C ends it)", flush=True)
        if options.host not in (LOOPBACK, "localhost", "::1"):
            print("gan: warning: whoever reaches this address sees these runs", file=sys.stderr, flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="gan watch",
        description="Serve the page of gan compare on this machine; it follows the runs as they go on.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of a run, of a sweep, or of runs at any depth")
    add_choices(parser)
    parser.add_argument("--port", type=int, metavar="N", help="a port (8321, or the next free one)")
    parser.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS",
        help="where it can be reached; 0.0.0.0: from other machines, by anybody (127.0.0.1: from this one only)",
    )  # fmt: skip
    return parser


def command(options: argparse.Namespace) -> str:
    """The line that makes the same page, once."""
    words = ["gan", "compare", str(options.folder), "--by", options.by, "--axis", options.axis]
    words += [] if options.at is None else ["--at", f"{options.at:g}"]
    for name in ("metric", "where"):
        words += [word for value in getattr(options, name) for word in (f"--{name}", value)]
    return shlex.join(words)
