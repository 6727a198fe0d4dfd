"""`gan reproduce`: recipes of papers, their published numbers beside ours, and a verdict."""

import argparse
import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from gan_research.cli.arguments import Arguments
from gan_research.config.compose import (
    Composition,
    compose_multirun,
    compose_train,
    concerns,
    conf_folder,
    experiment,
    groups,
    of_sweep,
)
from gan_research.config.keys import GAME, OF_SWEEPS, PLACES
from gan_research.utils.errors import RESUME, UserError, did_you_mean

if TYPE_CHECKING:
    from gan_research.reproduction.result import Result
    from gan_research.sweeps.sweep import Sweep

NOT_THE_GAME = (*PLACES, *OF_SWEEPS)
"""Overrides that don't make it another reproduction."""


def main(arguments: list[str]) -> int:
    """Run `gan reproduce` with these arguments; the exit status."""
    words, overrides = split_at_dashes(arguments)
    options = parser().parse_args(words)
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: give at least 1")
    if options.list:
        return show_recipes(options, overrides)
    if not options.recipes:
        if options.keep is None:
            raise UserError(f"give recipes: {', '.join(claims(options.config_dir))}")
        return write_results(options.keep, options.config_dir)
    if searched := [o for o in overrides if of_sweep(o) and not concerns(o, "pool")]:
        raise UserError(f"{searched[0]}: gan reproduce plays recipes over seeds, and searches nothing")
    given = Arguments(config_dir=options.config_dir, overrides=overrides)
    compositions = {name: composed(name, options.budget, given) for name in dict.fromkeys(options.recipes)}
    kept = options.keep and options.keep / "records"
    reproduction = Reproduction(compositions, options.budget, options.seeds, given, kept)
    status = reproduction.play()
    results = reproduction.results()
    show(results, reproduction.folder, options)
    if options.keep is not None:
        for result in results:
            keep(result, options.keep / "records" / result.file)
        write_results(options.keep, options.config_dir)
    if failed := [seed for result in results for seed in result.seeds if seed.state == "failed"]:
        every = sum(len(result.seeds) for result in results)
        raise UserError(
            f"{len(failed)} of {every} trainings failed, the log of each is in {reproduction.folder}/TRIAL/0/log.txt; "
            "the same command again goes on with them"
        )
    return status


def parser() -> argparse.ArgumentParser:
    """The command line, up to --."""
    parser = argparse.ArgumentParser(
        prog="gan reproduce",
        description="Train recipes (experiments with a published claim) over seeds, measure them by the source's "
        "protocol, and say whether what was published comes out. The same command again goes on where it was left.",
        epilog="Overrides of gan train follow --, such as -- trainer=gpu launcher=slurm pool.jobs=3 output=/runs.",
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="names of conf/experiment with a published block")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each, seeds 0 to N - 1 (3)")
    parser.add_argument("--budget", default="paper", help="smoke, pilot or paper (paper): how much of it is played")
    parser.add_argument("--json", type=Path, metavar="FILE", help="results and verdicts, beside results.json there")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="keep the records in DIR/records, and write DIR/README.md of all there; without recipes, only the latter",
    )  # fmt: skip
    parser.add_argument(
        "--list", action="store_true",
        help="train nothing: say of each recipe what it claims, its budgets, how long a seed takes on which machine, "
        "and the verdict so far, by the records and costs of --keep DIR (docs/results)",
    )  # fmt: skip
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder with recipes of your own")
    return parser


def split_at_dashes(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after --."""
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def show_recipes(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Print what is known of the recipes that are named, or of all."""
    from gan_research.reproduction.listing import listing

    if overrides:
        raise UserError(f"--list trains nothing: leave out {overrides[0]}")
    files = recipe_files(options.config_dir)
    if unknown := [name for name in options.recipes if name not in files]:
        raise UserError(f"there is no recipe {unknown[0]}: {did_you_mean(unknown[0], files)}")
    chosen = {name: files[name] for name in dict.fromkeys(options.recipes or files)}
    if options.keep is not None and not (options.keep / "records").is_dir():
        raise UserError(f"--keep {options.keep}: there is no folder {options.keep / 'records'}, and so no verdict")
    own = conf_folder().parent / "docs" / "results"  # of a source tree
    kept = options.keep or (own if (own / "records").is_dir() else None)
    lines = list(listing(chosen, kept))
    print(f"records and estimates: {kept or 'none'}; times are those of the devices that are named", *lines, sep="\n")
    return 0


def keep(result: "Result", path: Path) -> None:
    """Write the record of a result of which a seed is over, unless the one there is of more seeds."""
    from gan_research.reproduction.result import Result

    over = len(result.seeds) - len(result.unfinished)
    if not over:
        return
    before = Result.read(path) if path.is_file() else None
    if before is not None and (known := len(before.seeds) - len(before.unfinished)) > over:
        print(
            f"{path} is left as it is: {known} of its seeds are over, and here {over}; to replace it, remove it first"
        )
        return
    result.write(path)


def composed(name: str, budget: str, given: Arguments) -> Composition:
    """A recipe as it is to be played; UserError where it isn't one."""
    from gan_research.reproduction import Published

    known = groups(given.config_dir)["experiment"]
    if name not in known:
        raise UserError(f"there is no recipe {name}: {did_you_mean(name, known)}")
    words = [o for o in given.overrides if not of_sweep(o)]
    composition = compose_train([f"experiment={name}", f"budget={budget}", *words], given.config_dir)
    if composition.published is None:
        raise UserError(f"{name} claims nothing: a recipe has a published block, with its source (docs/results)")
    Published.of(composition.published).check()  # before anything is trained
    return composition


class Reproduction:
    """Recipes at a budget, over seeds: a sweep, in a folder that is the same for the same budget and overrides.

    records: a folder of kept records; seeds that are over in one of the same runs aren't trained again.
    """

    def __init__(
        self,
        compositions: dict[str, Composition],
        budget: str,
        seeds: int,
        given: Arguments,
        records: Path | None = None,
    ):
        from gan_research.config.build import build_evaluation

        self.records = records
        self.compositions, self.budget, self.seeds, self.given = compositions, budget, range(seeds), given
        for composition in compositions.values():
            build_evaluation(composition.config, optional=False)  # weights that are missing are told at once
        self.changed = [o for o in given.overrides if not any(concerns(o, key) for key in NOT_THE_GAME)]
        same = json.dumps(sorted(self.changed))
        other = f"-{hashlib.sha256(same.encode()).hexdigest()[:6]}" if self.changed else ""
        first = next(iter(compositions.values()))
        self.folder = Path(first.config["output"]) / f"reproduce-{budget}{other}"

    def play(self) -> int:
        """Play what is left of it, here or by a cluster's jobs; the exit status."""
        from gan_research.cli import multirun

        sweep = self.sweep()
        console = Console()
        console.print(f"sweep {sweep.folder}", highlight=False, soft_wrap=True)
        if self.is_over(sweep):
            return 0
        if multirun.submitted(sweep, self.given):
            return RESUME
        wanted = replace(sweep, search=sweep.search | {"points": self.points})
        if multirun.take_part(wanted, console)[1]:
            return 0
        console.print("stopped; the same command goes on")
        return RESUME

    @property
    def points(self) -> list[dict[str, str]]:
        """The seeds to train, seed by seed, so that all recipes have one result before any has two."""
        kept = {(name, seed.seed) for name, result in self.kept.items() for seed in result.seeds}
        return [
            {"experiment": name, "seed": str(seed)}
            for seed in self.seeds
            for name in self.compositions
            if (name, seed) not in kept
        ]

    def sweep(self) -> "Sweep":
        """The sweep, with these points among its own."""
        from gan_research.cli import multirun
        from gan_research.sweeps.search import Listed
        from gan_research.sweeps.sweep import RECORD, Sweep

        config = compose_multirun([o for o in self.given.overrides if of_sweep(o)], self.given.config_dir)
        if (self.folder / RECORD).is_file():
            sweep = Sweep.open(self.folder)
            sweep.pool = config["pool"]
        else:
            fixed = [f"budget={self.budget}", *(o for o in self.given.overrides if not of_sweep(o))]
            config["sweep"] = {"_target_": f"{Listed.__module__}.{Listed.__qualname__}", "points": []}
            examples = [[f"experiment={name}", "seed=0"] for name in self.compositions]
            sweep = multirun.new_sweep(self.folder.name, fixed, examples, config, self.given.config_dir)
            sweep.folder, sweep.metric, sweep.goal, sweep.rounds = self.folder, None, None, None
            sweep.command = shlex.join(["gan", "reproduce", *self.command(list(self.compositions))])
            sweep.create()
        known = sweep.search["points"]
        sweep.search["points"] = known + [point for point in self.points if point not in known]
        sweep.write()
        return sweep

    def is_over(self, sweep: "Sweep") -> bool:
        """Whether nothing is left to play."""
        over = [trial.values for trial in sweep.trials() if trial.ended == "finished" or trial.diverged]
        return all(point in over for point in self.points)

    def results(self) -> list["Result"]:
        """Return what has come out so far, here and in the kept records."""
        from gan_research.reproduction.gathering import gathered
        from gan_research.sweeps.sweep import Sweep

        sweep = Sweep.open(self.folder)
        return [
            replace(kept, seeds=gathered(sweep, name, self.seeds, kept.claim.followed)).with_kept(kept)
            for name, kept in self.kept.items()
        ]

    @cached_property
    def kept(self) -> dict[str, "Result"]:
        """The result of each recipe before anything is trained: the seeds of its kept record that are over."""
        return {name: self._kept(name, composition) for name, composition in self.compositions.items()}

    def _kept(self, name: str, composition: Composition) -> "Result":
        from gan_research.reproduction.published import Published
        from gan_research.reproduction.result import Result

        paper = compose_train([f"experiment={name}"], self.given.config_dir)
        assert paper.published is not None
        result = Result(
            recipe=name,
            budget=self.budget,
            overrides=self.changed,
            command=shlex.join(["gan", "reproduce", *self.command([name])]),
            published=paper.published,
            rounds=composition.config["rounds"],
            paper_rounds=paper.config["rounds"],
            changes=changes(paper.config, composition.config, Published.of(paper.published).followed),
            seeds=[],
        )
        path = self.records / result.file if self.records is not None else None
        return result.with_kept(Result.read(path)) if path is not None and path.is_file() else result

    def command(self, names: Sequence[str]) -> list[str]:
        """The arguments that play these recipes again."""
        changed = ["--", *self.changed] if self.changed else []
        return [*names, "--seeds", str(len(self.seeds)), "--budget", self.budget, *changed]


def changes(paper: dict[str, Any], played: dict[str, Any], followed: Sequence[str] = ()) -> list[str]:
    """Return what of the game isn't the recipe's, and, where the history of columns is judged, of its evaluations."""
    from gan_research.checkpoints.io import differences

    counted = (*GAME, "rounds", *(("evaluate_every",) if followed else ()))
    return [line for line in differences(paper, played) if line.partition(":")[0].partition(".")[0] in counted]


def show(results: list["Result"], folder: Path, options: argparse.Namespace) -> None:
    """The table, here and in the folder, and a page for each recipe."""
    from gan_research.reproduction.recipe_pages import write_pages
    from gan_research.reproduction.table import notes, results_table, rows, terminal_table
    from gan_research.reproduction.verdict import RULE
    from gan_research.utils.files import as_json, write_atomically

    console = Console()
    if not console.is_terminal:
        console = Console(width=150)
    console.print(terminal_table(results))
    judged: dict[str, list[Any]] = {result.recipe: [] for result in results}
    lines = rows(results)
    for result, verdict in lines:
        judged[result.recipe].append(asdict(verdict))
    content = [asdict(result) | {"verdicts": judged[result.recipe]} for result in results]
    text = f"{results_table(lines)}\n\n{RULE}\n\n" + "\n".join(f"- `{result.command}`" for result in results) + "\n"
    written = write_pages(results, folder)
    write_atomically(folder / "results.md", text.encode())
    for path in filter(None, (folder / "results.json", options.json)):
        write_atomically(path, (json.dumps(as_json(content), indent=1) + "\n").encode())
    for note in notes(lines):
        console.print(f"note: {note}", highlight=False, soft_wrap=True, markup=False)
    for path in (folder / "results.md", folder / "results.json", *written, *filter(None, [options.json])):
        console.print(f"written: {path}", highlight=False, soft_wrap=True)
    for result in results:
        for seed in (seed for seed in result.seeds if seed.reason):
            line = f"{seed.state}: {result.recipe}, seed {seed.seed}: {seed.reason}"
            console.print(line, highlight=False, soft_wrap=True, markup=False)


def write_results(folder: Path, config_dir: Path | None) -> int:
    """Write the page of all records in a folder."""
    from gan_research.reproduction.results_page import results_page
    from gan_research.utils.files import write_atomically

    page = folder / "README.md"
    write_atomically(page, results_page(folder, claims(config_dir)).encode())
    print(f"written: {page}")
    return 0


def claims(config_dir: Path | None = None) -> dict[str, tuple[dict[str, Any], int]]:
    """Return what each recipe has published, as a config node, and the rounds of its whole budget."""
    return {name: (dict(file["published"]), int(file["rounds"])) for name, file in recipe_files(config_dir).items()}


def recipe_files(config_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the settings of all experiments that claim something, by their names; not composed, nor checked."""
    files = {name: experiment(name, config_dir) for name in groups(config_dir)["experiment"]}
    recipes = {name: file for name, file in files.items() if "published" in file}
    if wrong := [name for name, file in recipes.items() if not isinstance(file.get("rounds"), int)]:
        raise UserError(f"experiment={wrong[0]} has a published block and no number of rounds: give rounds: N")
    return recipes
