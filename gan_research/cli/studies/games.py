"""The studies of runs: networks while they are trained."""

import json
import math
from collections.abc import Iterable
from functools import cache, partial
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from rich.console import Console

from gan_research.cli.arguments import Arguments
from gan_research.cli.studies.run import StudyRun, format_value, report
from gan_research.config.build import build_data, make
from gan_research.config.compose import Composition, compose_train
from gan_research.losses.divergences import kl
from gan_research.runs import fit
from gan_research.runs.run import Run
from gan_research.theory.convergence import convexity, descend, envelope
from gan_research.theory.phases import require_line
from gan_research.theory.plots.games import draw_convergence, draw_inner_steps, film_convergence
from gan_research.utils.errors import UserError

SEEDS = 3  # the number of seeds of each k of inner-steps
KEPT = ("regret", "jsd")


def analyzed(arguments: Arguments, composition: Composition, name: str) -> int:
    """Train a run with an analysis, and print its final numbers."""
    if name not in (composition.config["analysis"] or {}):
        raise UserError(f"gan theory {name} needs its analysis: remove analysis=..., or add {name} to it")
    status, run = fit.start(composition, arguments.overrides, arguments.config_dir)
    if status == 0:
        rows = [(key, format_value(value)) for key, value in read_numbers(run, name)["final"].items()]
        report(name, rows, run.folder / "theory")
    return status


phases, modes = partial(analyzed, name="phases"), partial(analyzed, name="modes")


def inner_steps(arguments: Arguments, composition: Composition) -> int:
    """Compare numbers of discriminator steps, at equal generator updates and at equal updates."""
    rounds = composition.config["rounds"]
    require_line(build_data(composition.config))
    with StudyRun(arguments, composition, "inner-steps") as study:
        budgets = {
            f"{rounds:,} generator updates each": lambda k: rounds,
            f"{2 * rounds:,} updates of both players each": lambda k: max(1, 2 * rounds // (k + 1)),
        }

        @cache
        def run(k: int, rounds: int, seed: int) -> dict[str, Any]:
            settings = (f"schedule.discriminator_steps={k}", f"rounds={rounds}", f"seed={seed}")
            return trained(arguments, study.run, f"k{k}-{rounds}-s{seed}", *settings, "analysis.phases.frames=40")

        seeds = range(composition.config["seed"], composition.config["seed"] + SEEDS)
        runs = {
            budget: {k: [run(k, rounds_of(k), seed) for seed in seeds] for k in (1, 2, 5, 20)}
            for budget, rounds_of in budgets.items()
        }
        rows = [
            (f"{budget}, k = {k}", *(median_and_range(run["final"].get(name) for run in by_seed) for name in KEPT))
            for budget, by_k in runs.items()
            for k, by_seed in by_k.items()
        ]
        header = (f"median of {SEEDS} seeds (least to most)", "regret at the end", "JSD at the end")
        return study.publish(runs, draw_inner_steps(runs), rows, header=header)


def median_and_range(values: Iterable[float | None]) -> str:
    """Format the median and the range of the numbers of some seeds; None is unknown or infinite."""
    ordered = sorted(math.inf if value is None else value for value in values)
    return f"{median(ordered):.2g} ({ordered[0]:.2g} to {ordered[-1]:.2g})" if ordered[0] < math.inf else "-"


def convergence(arguments: Arguments, composition: Composition) -> int:
    """Study proposition 2 on finite states, and the regret of D in training."""
    require_line(build_data(composition.config))
    loss = make(composition.config["loss"])
    random = torch.Generator().manual_seed(composition.config["seed"])
    p, q = (torch.rand(12, generator=random, dtype=torch.float64).add(0.05) for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    convex, (total, partial) = convexity(loss, p), envelope(loss, p, q)
    paths = {"down V(D*, p_g)": descend(loss, p, q)}
    if loss.theory().unique:
        paths["down the generator's loss"] = descend(loss, p, q, follows="generator", step=0.2)
    with StudyRun(arguments, composition, "convergence") as study:
        training = trained(arguments, study.run, "training")
        path = paths["down V(D*, p_g)"]
        descents = {
            name: {"value": x.values.tolist(), "jsd": x.jsds.tolist(), "kl_of_data": [kl(p, q).item() for q in x.q]}
            for name, x in paths.items()
        }
        down = descents["down V(D*, p_g)"]
        numbers: dict[str, Any] = {
            "least_second_difference": convex.diff(n=2, dim=1).min().item(),
            "envelope_error": (total - partial).abs().max().item(),
            "least_value": path.at_equality,
            "paths": descents,
            "training": training,
        }
        rows: list[tuple[str, ...]] = [
            ("convexity: least second difference", f"{numbers['least_second_difference']:.3g}"),
            ("envelope theorem: largest error", f"{numbers['envelope_error']:.3g}"),
            ("rises of V(D*, p_g) on the way down it", rises(down["value"])),
            ("rises of KL(p_data || p_g) on that way", rises(down["kl_of_data"])),
            ("V(D*, p_g) at its end, and at p_data", f"{path.values[-1].item():.8f}, {path.at_equality:.8f}"),
            *((f"networks: {name} at the end", format_value(value)) for name, value in training["final"].items()),
        ]
        figure = draw_convergence(p, convex, paths, training)
        return study.publish(numbers, figure, rows, film_convergence(p, path))


def rises(values: list[float]) -> str:
    """Count the rises of a series, ignoring rounding."""
    return str(sum(after > before + 1e-12 for before, after in pairwise(values)))


def trained(arguments: Arguments, run: Run, name: str, *overrides: str) -> dict[str, Any]:
    """Train a part of a study below the run's folder, and return its numbers."""
    fixed = ("logger=none", "metrics=none", "analysis=phases", "analysis.phases.film=false")
    merged = [*arguments.overrides, *fixed, f"output={run.folder / name}", *overrides]
    composition = compose_train(merged, arguments.config_dir)
    status, part = fit.start(composition, merged, arguments.config_dir, Console(quiet=True))
    if status:
        raise KeyboardInterrupt
    return read_numbers(part, "phases")


def read_numbers(run: Run, name: str) -> dict[str, Any]:
    return json.loads((run.folder / "theory" / f"{name}.json").read_bytes())
