"""`gan sweep`: go on with a sweep, see how it stands, play a W&B sweep without its server."""

from pathlib import Path

from rich.console import Console

from gan_research.cli.arguments import parse
from gan_research.utils.errors import UserError, did_you_mean

USAGE = """usage: gan sweep resume DIR [pool.KEY=VALUE ...]
       gan sweep status DIR
       gan sweep run FILE [--count N] [KEY=VALUE ...]

  resume   take part in the sweep in DIR: play what nobody plays, what was left, and once more what had failed. Any
           number of processes may, on any number of machines that see the folder. It runs what DIR says: trust it
  status   the table of its trials
  run      play a sweep file of W&B (sweeps/*.yaml) here, by W&B's own search, without its server

Sweeps are started by gan train -m: gan train -m loss=hinge,wasserstein seed=0,1,2
"""


def main(arguments: list[str]) -> int:
    """Run `gan sweep` with these arguments; the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    actions = {"resume": resume, "status": status, "run": run}
    action, *rest = arguments
    if action not in actions:
        raise UserError(f"there is no gan sweep {action}: {did_you_mean(action, actions)}")
    if not rest:
        raise UserError(f"gan sweep {action}: give {'a file' if action == 'run' else 'the folder of a sweep'}")
    return actions[action](rest[0], rest[1:])


def resume(place: str, words: list[str]) -> int:
    """Take part in a sweep."""
    from gan_research.cli import multirun
    from gan_research.config.compose import compose_multirun
    from gan_research.sweeps.sweep import Sweep

    sweep = Sweep.open(Path(place))
    if other := [word for word in words if not word.startswith("pool.")]:
        raise UserError(f"{other[0]}: a sweep goes on as it is; only pool.runs, pool.cores and pool.gpus may change")
    if words:
        sweep.pool = compose_multirun(words)["pool"]
    return multirun.play(sweep)


def status(place: str, words: list[str]) -> int:
    """Show how a sweep stands."""
    from gan_research.sweeps.board import Board
    from gan_research.sweeps.sweep import Sweep

    if words:
        raise UserError(f"'{words[0]}': gan sweep status takes the folder of a sweep, and nothing else")
    sweep = Sweep.open(Path(place))
    Console().print(Board(sweep, None).table(sweep.look()))
    return 0


def run(place: str, words: list[str]) -> int:
    """Play a sweep file of W&B."""
    from gan_research.cli import multirun

    count, rest = counted(words)
    given = parse(rest, "gan sweep run")
    return multirun.start_file(Path(place), count, given)


def counted(words: list[str]) -> tuple[int | None, list[str]]:
    """The number of --count N, if it is given, and the other words."""
    place = next((i for i, word in enumerate(words) if word.partition("=")[0] == "--count"), None)
    if place is None:
        return None, words
    _, equals, text = words[place].partition("=")
    end = place + (1 if equals else 2)
    text = text if equals else "".join(words[place + 1 : end])
    if not text.isdecimal() or int(text) == 0:
        raise UserError(f"--count {text}: give a number of trials")
    return int(text), words[:place] + words[end:]
