"""`gan reproduce`: train recipes of papers and judge their published claims."""

import argparse
import hashlib
import json
import logging
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
from gan_research.config.schema import check_nodes
from gan_research.utils.consoles import of_width
from gan_research.utils.errors import RESUME, UserError, did_you_mean

PAGE = "README.md"  # the page of all records, in the folder of --keep

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from gan_research.reproduction.result import Result
    from gan_research.sweeps.sweep import Sweep


def main(arguments: list[str]) -> int:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    options, overrides = parser().parse_args(arguments[:at]), arguments[at + 1 :]
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: give at least 1")
    if options.list:
        return show_recipes(options, overrides)
    if options.keep is not None:
        require_own_page(options.keep / PAGE)
    if not options.recipes:
        if options.keep is None:
            raise UserError(f"give recipes: {', '.join(claims(options.config_dir))}")
        return write_results(options.keep, options.config_dir)
    if searched := [o for o in overrides if of_sweep(o) and not concerns(o, "pool")]:
        raise UserError(f"{searched[0]}: gan reproduce trains recipes over seeds, without a search")
    command_line = Arguments(config_dir=options.config_dir, overrides=overrides)
    compositions = {name: compose_recipe(name, options.budget, command_line) for name in dict.fromkeys(options.recipes)}
    reproduction = Reproduction(compositions, options, command_line)
    status = reproduction.run()
    results = reproduction.results()
    show(results, reproduction.folder, options)
    if options.keep is not None:
        for result in results:
            keep(result, options.keep / "records" / result.file)
        write_results(options.keep, options.config_dir)
    seeds = [seed for result in results for seed in result.seeds]
    if failed := sum(seed.state == "failed" for seed in seeds):
        logs = f"the log of each is in {reproduction.folder}/TRIAL/0/log.txt"
        raise UserError(f"{failed} of {len(seeds)} runs failed, {logs}; run the same command again to retry them")
    return status


def parser() -> argparse.ArgumentParser:
    """Return the parser of the arguments before --."""
    parser = argparse.ArgumentParser(
        prog="gan reproduce",
        description="Train recipes (experiments with a published claim) over seeds, measure them by the source's "
        "protocol, and judge whether the claim is reproduced. The same command resumes what is unfinished.",
        epilog="Overrides of gan train follow --, such as -- trainer=gpu launcher=slurm pool.jobs=3 output=/runs.",
    )
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="names of conf/experiment with a published block")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each, seeds 0 to N - 1 (3)")
    parser.add_argument("--budget", default="paper", help="how much of it is trained: smoke, pilot or paper (paper)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write results and verdicts to FILE")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR",
        help="keep the records in DIR/records and write DIR/README.md from them; without recipes, only the latter",
    )  # fmt: skip
    parser.add_argument(
        "--list", action="store_true",
        help="only list each recipe's claim, budgets, time of a seed and verdict so far, from the records and costs of "
        "--keep DIR (docs/results)",
    )  # fmt: skip
    parser.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder with your own recipes")
    return parser


def show_recipes(options: argparse.Namespace, overrides: Sequence[str]) -> int:
    """Print the list of the recipes of the command line, or of all."""
    from gan_research.reproduction.results_page import listing

    if overrides:
        raise UserError(f"--list trains nothing: remove {overrides[0]}")
    files = recipe_files(options.config_dir)
    if unknown := [name for name in options.recipes if name not in files]:
        raise UserError(f"there is no recipe {unknown[0]}: {did_you_mean(unknown[0], files)}")
    if options.keep is not None and not (options.keep / "records").is_dir():
        raise UserError(f"--keep {options.keep}: there is no folder {options.keep / 'records'}, and so no verdict")
    own = conf_folder().parent / "docs" / "results"  # of a source tree
    kept = options.keep or (own if (own / "records").is_dir() else None)
    lines = listing({name: files[name] for name in dict.fromkeys(options.recipes or files)}, kept)
    print(f"records and estimates: {kept or 'none'}", *lines, sep="\n")
    return 0


def keep(result: "Result", path: Path) -> None:
    """Write the record of a result, unless the existing one has more finished seeds."""
    from gan_research.reproduction.result import Result

    before = Result.read(path) if path.is_file() else None
    over, known = (sum(seed.is_over for seed in one.seeds) if one else 0 for one in (result, before))
    if known > over:
        print(f"{path} is not replaced: it has {known} finished seeds, and this result {over}; remove it to replace it")
    elif over:
        result.write(path)


def compose_recipe(name: str, budget: str, command_line: Arguments) -> Composition:
    """Return the composed recipe at a budget; UserError if it isn't a recipe."""
    from gan_research.reproduction import Published

    known = groups(command_line.config_dir)["experiment"]
    if name not in known:
        raise UserError(f"there is no recipe {name}: {did_you_mean(name, known)}")
    overrides = [o for o in command_line.overrides if not of_sweep(o)]
    composition = compose_train([f"experiment={name}", f"budget={budget}", *overrides], command_line.config_dir)
    if composition.published is None:
        raise UserError(f"{name} claims nothing: a recipe has a published block, with its source (docs/results)")
    Published.of(composition.published).check()  # before anything is trained
    return composition


class Reproduction:
    """The sweep of recipes over seeds, without the finished seeds of kept records."""

    def __init__(self, compositions: dict[str, Composition], options: argparse.Namespace, command_line: Arguments):
        from gan_research.config.build import build_evaluation

        self.compositions, self.command_line = compositions, command_line
        self.budget, self.seeds, self.keep = options.budget, range(options.seeds), options.keep
        for composition in compositions.values():
            build_evaluation(composition.config, optional=False)  # raises now if weights are missing
        self.changed = [o for o in command_line.overrides if not any(concerns(o, key) for key in (*PLACES, *OF_SWEEPS))]
        digest = hashlib.sha256(json.dumps(sorted(self.changed)).encode()).hexdigest()[:6]
        output = Path(next(iter(compositions.values())).config["output"])
        self.folder = output / (f"reproduce-{self.budget}" + f"-{digest}" * bool(self.changed))

    def run(self) -> int:
        """Train the seeds that are left, here or in jobs of a cluster; return the exit status."""
        from gan_research.cli import multirun

        sweep = self.sweep()
        console = Console()
        console.print(f"sweep {sweep.folder}", highlight=False, soft_wrap=True)
        over = [trial.values for trial in sweep.trials() if trial.ended == "finished" or trial.diverged]
        if all(point in over for point in self.points):
            return 0
        launcher = multirun.launcher_of(sweep, self.command_line)
        if not launcher.waits:
            multirun.train(sweep, launcher)
            return RESUME
        remaining = replace(sweep, search=sweep.search | {"points": self.points})
        if multirun.take_part(remaining, launcher, console)[1]:
            return 0
        console.print("stopped; run the same command to resume")
        return RESUME

    @property
    def points(self) -> list[dict[str, str]]:
        """The recipes and seeds to train; all recipes have one result before any has two."""
        kept = {(name, seed.seed) for name, result in self.kept.items() for seed in result.seeds}
        pairs = [(name, seed) for seed in self.seeds for name in self.compositions]
        return [{"experiment": name, "seed": str(seed)} for name, seed in pairs if (name, seed) not in kept]

    def sweep(self) -> "Sweep":
        """Return the sweep with the points of this command added."""
        from gan_research.cli import multirun
        from gan_research.sweeps.search import FixedPoints
        from gan_research.sweeps.sweep import RECORD, Sweep

        config = compose_multirun([o for o in self.command_line.overrides if of_sweep(o)], self.command_line.config_dir)
        fixed = [f"budget={self.budget}", *(o for o in self.command_line.overrides if not of_sweep(o))]
        config["sweep"] = {"_target_": f"{FixedPoints.__module__}.{FixedPoints.__qualname__}", "points": []}
        compositions = list(self.compositions.values())
        sweep = multirun.new_sweep(self.folder.name, fixed, compositions, config, self.command_line.config_dir)
        if (self.folder / RECORD).is_file():
            base, sweep = sweep.base, Sweep.open(self.folder)
            sweep.pool, sweep.base = config["pool"], base  # another command may have had no, or another, config folder
        else:
            sweep.folder, sweep.metric, sweep.goal, sweep.rounds = self.folder, None, None, None
            sweep.command = self.command(list(self.compositions))
            sweep.create()
        known = sweep.search["points"]
        sweep.search["points"] = known + [point for point in self.points if point not in known]
        sweep.write()
        return sweep

    def results(self) -> list["Result"]:
        """Return the results so far, those of the kept records included."""
        from gan_research.reproduction.gathering import seed_results
        from gan_research.sweeps.sweep import Sweep

        sweep = Sweep.open(self.folder)
        return [
            replace(kept, seeds=seed_results(sweep, name, self.seeds, kept.claim.tracked)).with_kept(kept)
            for name, kept in self.kept.items()
        ]

    @cached_property
    def kept(self) -> dict[str, "Result"]:
        """The result of each recipe before training, with the finished seeds of its kept record."""
        from gan_research.reproduction.published import Published
        from gan_research.reproduction.result import Result

        results = {}
        for name, composition in self.compositions.items():
            paper = compose_train([f"experiment={name}"], self.command_line.config_dir)
            assert paper.published is not None
            results[name] = Result(
                recipe=name,
                budget=self.budget,
                overrides=self.changed,
                command=self.command([name]),
                published=paper.published,
                rounds=composition.config["rounds"],
                paper_rounds=paper.config["rounds"],
                changes=changes(paper.config, composition.config, Published.of(paper.published).tracked),
                seeds=[],
            )
            if self.keep is not None and (path := self.keep / "records" / results[name].file).is_file():
                results[name] = results[name].with_kept(Result.read(path))
        return results

    def command(self, names: Sequence[str]) -> str:
        """Return the shell command that reproduces these recipes again."""
        changed = ["--", *self.changed] if self.changed else []
        argv = [*names, "--seeds", str(len(self.seeds)), "--budget", self.budget, *changed]
        return shlex.join(["gan", "reproduce", *argv])


def changes(paper: dict[str, Any], config: dict[str, Any], tracked: Sequence[str] = ()) -> list[str]:
    """Return the settings of the game that differ from the recipe's. With rules on `tracked`, evaluations count."""
    from gan_research.checkpoints.io import differences

    counted = (*GAME, "rounds", *(("evaluate_every",) if tracked else ()))
    return [line for line in differences(paper, config) if line.partition(":")[0].partition(".")[0] in counted]


def show(results: list["Result"], folder: Path, options: argparse.Namespace) -> None:
    """Print the table, and write it with a page for each recipe to the folder."""
    from gan_research.reproduction.recipe_pages import write_pages
    from gan_research.reproduction.table import notes, results_table, rows, terminal_table
    from gan_research.reproduction.verdict import RULE
    from gan_research.utils.files import as_json, write_atomically

    console = of_width(150)
    console.print(terminal_table(results))
    lines = rows(results)
    content = [asdict(one) | {"verdicts": [asdict(v) for result, v in lines if result is one]} for one in results]
    text = f"{results_table(lines)}\n\n{RULE}\n\n" + "\n".join(f"- `{result.command}`" for result in results) + "\n"
    pages = write_pages(results, folder)
    write_atomically(folder / "results.md", text.encode())
    files = [folder / "results.json", *([options.json] if options.json else [])]
    for path in files:
        write_atomically(path, (json.dumps(as_json(content), indent=1) + "\n").encode())
    printed = [f"note: {note}" for note in notes(lines)]
    printed += [f"written: {path}" for path in (folder / "results.md", *files, *pages)]
    printed += [f"{s.state}: {r.recipe}, seed {s.seed}: {s.reason}" for r in results for s in r.seeds if s.reason]
    for line in printed:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def require_own_page(page: Path) -> None:
    """Raise a UserError if there is a page that gan reproduce hasn't written."""
    if page.exists() and "gan reproduce --keep" not in page.read_text("utf-8", errors="replace"):
        raise UserError(f"{page} isn't a page of gan reproduce, and would be replaced: give --keep another folder")


def write_results(folder: Path, config_dir: Path | None) -> int:
    """Write the page of all records in a folder; return the exit status."""
    from gan_research.reproduction.results_page import results_page
    from gan_research.utils.files import write_atomically

    page = folder / PAGE
    write_atomically(page, results_page(folder, claims(config_dir)).encode())
    print(f"written: {page}")
    return 0


def claims(config_dir: Path | None = None) -> dict[str, tuple[dict[str, Any], int]]:
    """Return each recipe's published block and the rounds of its whole budget."""
    return {name: (dict(file["published"]), int(file["rounds"])) for name, file in recipe_files(config_dir).items()}


def recipe_files(config_dir: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return the files of all recipes by name, neither composed nor checked; ones that can't be read are left out."""
    from gan_research.reproduction import Published

    recipes: dict[str, dict[str, Any]] = {}
    for name in groups(config_dir)["experiment"]:
        try:
            file = experiment(name, config_dir)
            if file.get("published") is not None:  # null: none of the experiment's defaults
                if not isinstance(file.get("rounds"), int) or not isinstance(file["published"], dict):
                    raise UserError(f"experiment={name} has a published block, but no fields in it or no rounds: N")
                Published.of(check_nodes(file["published"], f"experiment={name}: published"))
        except UserError as error:
            log.warning("%s", error)
        else:
            recipes |= {name: file} if file.get("published") is not None else {}
    return recipes
