"""`gan clean`: delete runs that are chosen by their state, or old checkpoints."""

import argparse
from pathlib import Path

from gan_research.utils.errors import UserError
from gan_research.utils.texts import bytes_text, duration

EPILOG = """\
Without --yes, the command lists what it would delete. It never deletes a run that is being trained, a run of a sweep,
a folder that contains other files than those of a run, or what a link points to.

examples:
  gan clean --empty --failed              list unfinished runs without a checkpoint, and runs that failed
  gan clean --empty --failed --yes        delete them
  gan clean old/ --checkpoints --yes      of finished runs, keep the last checkpoint and the best
"""


def main(arguments: list[str]) -> int:
    """Run `gan clean` with these arguments and return the exit status."""
    options = parser().parse_args(arguments)
    states = {state for state in ("finished", "failed", "stopped") if getattr(options, state)}
    if not (states or options.empty or options.checkpoints):
        raise UserError("choose what to delete: --empty, --failed, --stopped, --finished or --checkpoints")
    from gan_research.report.cleaning import targets
    from gan_research.report.listing import list_runs

    entries, _ = list_runs(options.folders or [Path("runs")])
    entries = [entry for entry in entries if entry.age >= options.older * 86_400]
    entry_at = {entry.folder: entry for entry in entries}
    total = 0
    for target in targets(entries, states, options.empty, options.checkpoints):
        if isinstance(target, str):
            print(f"note: {target}")
            continue
        entry = entry_at[target.run]
        what = f"{target.run}" if target.files is None else f"{len(target.files)} checkpoints of {target.run}"
        deleted = options.yes and target.delete()
        word = "deleted" if deleted else "is being trained now, kept" if options.yes else "would delete"
        print(f"{word}: {what}, {entry.state}, {duration(entry.age)} old, {bytes_text(target.size)}")
        total += target.size if deleted or not options.yes else 0
    print(f"{bytes_text(total)} freed" if options.yes else f"{bytes_text(total)} in all; to delete, add --yes")
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gan clean",
        description="Delete runs, or old checkpoints, that the options choose.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folders", nargs="*", type=Path, metavar="DIR", help="folders with runs, or runs (runs)")
    add("--empty", action="store_true", help="unfinished runs without a checkpoint")
    add("--failed", action="store_true", help="runs that ended with an error")
    add("--stopped", action="store_true", help="runs that were stopped, and can be resumed")
    add("--finished", action="store_true", help="runs that are trained for all rounds")
    add("--checkpoints", action="store_true", help="checkpoints of finished runs, other than the last and the best")
    add("--older", type=float, default=0.0, metavar="DAYS", help="only of runs without an entry for so many days")
    add("--yes", action="store_true", help="delete them")
    return parser
