"""The studies of trainings: what happens while networks play."""

import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from gan_research.cli.arguments import Arguments
from gan_research.cli.studies.run import StudyRun, report, shown
from gan_research.config.build import build_data, make
from gan_research.config.compose import compose_train
from gan_research.losses.divergences import kl
from gan_research.runs import fit
from gan_research.runs.run import Run
from gan_research.theory.convergence import convexity, descend, envelope
from gan_research.theory.phases import require_line
from gan_research.theory.plots import draw_convergence, draw_inner_steps, film_convergence
from gan_research.utils.errors import UserError

QUIET = ["logger=none", "metrics=none"]
"""Overrides of a training that is only a part of a study."""


def phases(given: Arguments) -> int:
    """Goodfellow et al. 2014, figure 1, of one training."""
    return watched(given, "phases")


def modes(given: Arguments) -> int:
    """Samples on a 2-D density, of one training."""
    return watched(given, "modes")


def watched(given: Arguments, watch: str) -> int:
    """A training with a watcher, whose last numbers are shown."""
    if not given.sets("watch"):
        given.overrides.append(f"watch={watch}")
    composition = compose_train(given.overrides, given.config_dir)
    if watch not in (composition.config["watch"] or {}):
        raise UserError(f"gan theory {watch} needs its watcher: leave watch=... out, or add {watch} to it")
    status, run = fit.start(composition, given.overrides, given.config_dir)
    if status == 0:
        folder = run.folder / "theory"
        report(watch, [(name, shown(value)) for name, value in read_numbers(folder, watch)["final"].items()], folder)
    return status


def inner_steps(given: Arguments) -> int:
    """k discriminator steps a round, at as many generator updates, and at as many updates in all."""
    composition = compose_train(given.overrides, given.config_dir)
    rounds = composition.config["rounds"]
    require_line(build_data(composition.config))
    with StudyRun(given, composition, "inner-steps") as study:
        budgets = {
            f"{rounds:,} generator updates each": lambda k: rounds,
            f"{2 * rounds:,} updates of both players each": lambda k: max(1, 2 * rounds // (k + 1)),
        }

        @cache
        def run(k: int, rounds: int) -> dict[str, Any]:
            settings = (f"schedule.discriminator_steps={k}", f"rounds={rounds}", "watch.phases.frames=40")
            return trained(given, study.run, f"k{k}-{rounds}", *settings)

        runs = {budget: {k: run(k, rounds_of(k)) for k in (1, 2, 5, 20)} for budget, rounds_of in budgets.items()}
        rows = [
            (f"{budget}, k = {k}", *(shown(numbers["final"].get(name)) for name in ("regret", "jsd")))
            for budget, by_k in runs.items()
            for k, numbers in by_k.items()
        ]
        return study.publish(runs, draw_inner_steps(runs), rows, header=("", "regret at the end", "JSD at the end"))


def convergence(given: Arguments) -> int:
    """Proposition 2 on finite states, and the regret of D in a game of networks."""
    composition = compose_train(given.overrides, given.config_dir)
    require_line(build_data(composition.config))
    loss = make(composition.config["loss"])
    random = torch.Generator().manual_seed(composition.config["seed"])
    p, q = (torch.rand(12, generator=random, dtype=torch.float64).add(0.05) for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    convex, (total, partial) = convexity(loss, p), envelope(loss, p, q)
    paths = {"down V(D*, p_g)": descend(loss, p, q)}
    if loss.theory().unique:
        paths["down the generator's loss"] = descend(loss, p, q, follows="generator", step=0.2)
    with StudyRun(given, composition, "convergence") as study:
        training = trained(given, study.run, "training")
        path = paths["down V(D*, p_g)"]
        numbers: dict[str, Any] = {
            "least_second_difference": convex.diff(n=2, dim=1).min().item(),
            "envelope_error": (total - partial).abs().max().item(),
            "least_value": path.at_equality,
            "paths": {
                name: {
                    "value": way.values.tolist(),
                    "jsd": way.jsds.tolist(),
                    "kl_of_data": [kl(p, state).item() for state in way.q],
                }
                for name, way in paths.items()
            },
            "training": training,
        }
        way_down = numbers["paths"]["down V(D*, p_g)"]
        rows: list[tuple[str, ...]] = [
            ("convexity: least second difference", f"{numbers['least_second_difference']:.3g}"),
            ("envelope theorem: largest error", f"{numbers['envelope_error']:.3g}"),
            ("rises of V(D*, p_g) on the way down it", rises(way_down["value"])),
            ("rises of KL(p_data || p_g) on that way", rises(way_down["kl_of_data"])),
            ("V(D*, p_g) at its end, and at p_data", f"{path.values[-1].item():.8f}, {path.at_equality:.8f}"),
            *((f"networks: {name} at the end", shown(value)) for name, value in training["final"].items()),
        ]
        figure = draw_convergence(p, convex, paths, training)
        return study.publish(numbers, figure, rows, film_convergence(p, path))


def rises(values: list[float]) -> str:
    """How often a series rises, by more than rounding."""
    return str(sum(after > before + 1e-12 for before, after in pairwise(values)))


def trained(given: Arguments, run: Run, name: str, *overrides: str) -> dict[str, Any]:
    """The numbers of a watched training that is a part of a study, in a folder of its own below the run's."""
    overrides = (
        *given.overrides,
        *QUIET,
        f"output={run.folder / name}",
        "watch=phases",
        "watch.phases.film=false",
        *overrides,
    )
    composition = compose_train(list(overrides), given.config_dir)
    status, part = fit.start(composition, list(overrides), given.config_dir, Console(quiet=True))
    if status:
        raise KeyboardInterrupt
    return read_numbers(part.folder / "theory", "phases")


def read_numbers(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"{name}.json").read_text())
