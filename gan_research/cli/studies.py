"""The studies of `gan theory`: each composes what it studies, computes, draws, and leaves a run's folder behind."""

import json
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Column, Table

from gan_research.cli import fit
from gan_research.cli.arguments import Arguments
from gan_research.cli.build import build_data, build_game, make
from gan_research.cli.compose import Composition, choice, compose_train, groups
from gan_research.errors import UserError
from gan_research.losses import AdversarialLoss
from gan_research.tracking import History, Run

QUIET = ["logger=none", "metrics=none"]
"""Overrides of a training that is only a part of a study."""


# --- watched trainings -----------------------------------------------------------------------------------------------


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


# --- computations ----------------------------------------------------------------------------------------------------


def losses(given: Arguments) -> int:
    """What each loss declares, and its divergence of two Gaussians that move apart."""
    from gan_research.data.densities import Gaussian
    from gan_research.theory.generator_density import data_masses
    from gan_research.theory.plots import draw_divergences

    composition = compose_train(given.overrides, given.config_dir)
    chosen = all_losses(given)
    edges = torch.linspace(-8, 14, 441, dtype=torch.float64)
    means = torch.linspace(0.25, 6, 24, dtype=torch.float64)
    p, *qs = (data_masses(Gaussian(mean, 1.0).log_prob, edges).all for mean in (0.0, *means.tolist()))
    rows, curves, declared = [], {}, {}
    for name, loss in chosen.items():
        try:
            theory = loss.theory()
        except UserError as error:
            rows.append((name, "undeclared", "-", "-", "-"))
            declared[name] = {"undeclared": str(error)}
            continue
        measured = theory.divergence_name
        rows.append((name, theory.kind, measured or "-", f"{theory.at_equality:.6g}", theory.descends_name or "-"))
        declared[name] = dict(zip(("kind", "divergence", "at_equality", "descends"), rows[-1][1:], strict=True))
        if measured:
            unit = (edges[1] - edges[0]).item() if theory.kind == "metric" else 1.0  # W1's grid has steps of 1
            curves[name] = torch.stack([unit * theory.divergence(p, q) for q in qs])
    numbers = {"losses": declared, "means": means.tolist(), "divergences": {n: c.tolist() for n, c in curves.items()}}
    header = ("loss", "proof", "divergence of p and q", "value at p = q", "G descends")
    return publish(given, composition, "losses", numbers, draw_divergences(means, curves), rows, None, header)


def optimum(given: Arguments) -> int:
    """Proposition 1, theorem 1 and equation 3; D's best logits between the data and N(0, 1)."""
    from gan_research.data.densities import Gaussian
    from gan_research.theory import optimum as theory
    from gan_research.theory.generator_density import trace
    from gan_research.theory.phases import optimal_logit, require_line
    from gan_research.theory.plots import draw_optimum

    composition = compose_train(given.overrides, given.config_dir)
    config = composition.config
    data = build_data(config)
    game = build_game(config, data)
    density = require_line(data)
    maxima = {f"{a:g}, {b:g}": theory.proposition_1(a, b) for a, b in ((1, 1), (3, 1), (1, 3), (0.3, 0.1))}
    (low, high), loss = density.bounds[0], game.loss
    reached = trace(game.generator, game.prior).values
    margin = 0.1 * (reached.max() - reached.min()).item() + 1e-6
    edges = torch.linspace(reached.min().item() - margin, reached.max().item() + margin, 6001, dtype=torch.float64)
    x = torch.linspace(low - 1, high + 1, 400, dtype=torch.float64)
    p, q = (which.log_prob(x[:, None]).exp() for which in (density, Gaussian(0.0, 1.0)))
    found = theory.pointwise_optimum(loss, p, q)
    predicted = optimal_logit(loss, p, q)
    shifted = {
        mean: theory.value_of_densities(Gaussian(0.0, 1.0).log_prob, Gaussian(mean, 1.0).log_prob, (-40.0, 40.0))
        for mean in (0.0, 0.5, 1.0, 2.0, 4.0)
    }
    logits = torch.linspace(-3, 3, 64, dtype=torch.float64)
    over_z, over_x = theory.unconscious_statistician(game.generator, game.prior, torch.cos, edges)
    numbers: dict[str, Any] = {
        "proposition_1": {name: {"found": m.found, "predicted": m.predicted} for name, m in maxima.items()},
        "value": {
            f"N(0, 1), N({mean:g}, 1)": {"V(D*, G)": v.value, "2 JSD - log 4": v.predicted, "jsd": v.jsd}
            for mean, v in shifted.items()
        },
        "cross_entropy": {
            "V": theory.value(logits, -logits).item(),
            "-2 mean cross-entropy": theory.value_from_cross_entropy(logits, -logits).item(),
        },
        "unconscious_statistician": {"E_z cos G(z)": over_z, "E_x cos x": over_x},
    }
    rows = [(f"largest at, a, b = {name}", f"{m.found:.6f}, a/(a+b) = {m.predicted:.6f}") for name, m in maxima.items()]
    rows += [
        (f"V(D*, G), {name}", f"{v['V(D*, G)']:.8f}, 2 JSD - log 4 = {v['2 JSD - log 4']:.8f}")
        for name, v in numbers["value"].items()
    ]
    rows += [
        (name.replace("_", " "), ", ".join(f"{k} = {v:.8f}" for k, v in numbers[name].items()))
        for name in ("cross_entropy", "unconscious_statistician")
    ]
    if predicted is not None:
        numbers["best_logit_error"] = (found - predicted).abs().max().item()
        rows.append(("best logit, found - predicted", f"at most {numbers['best_logit_error']:.2g}"))
    figure = draw_optimum(maxima, x, p, q, found, predicted)
    return publish(given, composition, "optimum", numbers, figure, rows)


def convergence(given: Arguments) -> int:
    """Proposition 2 on finite states, and the regret of D in a game of networks."""
    from gan_research.divergences import kl
    from gan_research.theory import convergence as theory
    from gan_research.theory.phases import require_line
    from gan_research.theory.plots import draw_convergence, film_convergence

    composition = compose_train(given.overrides, given.config_dir)
    require_line(build_data(composition.config))
    loss = make(composition.config["loss"])
    random = torch.Generator().manual_seed(composition.config["seed"])
    p, q = (torch.rand(12, generator=random, dtype=torch.float64).add(0.05) for _ in range(2))
    p, q = p / p.sum(), q / q.sum()
    convexity, envelope = theory.convexity(loss, p), theory.envelope(loss, p, q)
    paths = {"down V(D*, p_g)": theory.descend(loss, p, q)}
    if loss.theory().unique:
        paths["down the generator's loss"] = theory.descend(loss, p, q, follows="generator", step=0.2)
    with StudyRun(given, composition, "convergence") as study:
        training = trained(given, study.run, "training")
        path = paths["down V(D*, p_g)"]
        numbers: dict[str, Any] = {
            "least_second_difference": convexity.second_differences.min().item(),
            "envelope_error": envelope.error,
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
        rows: list[tuple[str, ...]] = [
            ("convexity: least second difference", f"{numbers['least_second_difference']:.3g}"),
            ("envelope theorem: largest error", f"{envelope.error:.3g}"),
            ("rises of V(D*, p_g) on the way down it", rises(numbers["paths"], "value")),
            ("rises of KL(p_data || p_g) on that way", rises(numbers["paths"], "kl_of_data")),
            ("V(D*, p_g) at its end, and at p_data", f"{path.values[-1].item():.8f}, {path.at_equality:.8f}"),
            *((f"networks: {name} at the end", shown(value)) for name, value in training["final"].items()),
        ]
        figure = draw_convergence(p, convexity, paths, training)
        return study.publish(numbers, figure, rows, film_convergence(p, path))


def saturation(given: Arguments) -> int:
    """The generator's gradient, of every loss, or of the chosen one beside Goodfellow's two.

    The measured one is of the game's players, fresh, on its data.
    """
    from gan_research.theory import saturation as theory
    from gan_research.theory.phases import require_line
    from gan_research.theory.plots import draw_saturation

    composition = compose_train(given.overrides, given.config_dir)
    config = composition.config
    losses, highlighted = all_losses(given), ["minimax", "non_saturating"]
    if given.sets("loss"):
        losses = {name: losses[name] for name in highlighted} | {composition.choices["loss"]: make(config["loss"])}
        highlighted = list(losses)
    logits = torch.linspace(-15, 15, 301, dtype=torch.float64)
    pulls = {name: theory.pull(loss, logits) for name, loss in losses.items()}
    data = build_data(config)
    game = build_game(config, data)
    density = require_line(data)
    measured = theory.measured(
        losses,
        game.generator,
        game.discriminator,
        game.prior,
        density.sample,
        make(config["optimizer"]["discriminator"]),
        batch_size=config["batch_size"],
        seed=config["seed"],
    )
    numbers = {
        "logit": logits.tolist(),
        "gradient": {name: pull.gradients.tolist() for name, pull in pulls.items()},
        "measured": [vars(row) for row in measured],
    }
    last = measured[-1]
    rows = [(f"D(G(z)) after {row.steps} updates of D", f"{row.rejection:.3g}") for row in measured]
    rows += [
        (f"G's gradient under {name}", f"{last.norms[name]:.3g}, at first {measured[0].norms[name]:.3g}")
        for name in losses
    ]
    figure = draw_saturation(pulls, measured, highlighted)
    return publish(given, composition, "saturation", numbers, figure, rows)


def inner_steps(given: Arguments) -> int:
    """k discriminator steps a round, at as many generator updates, and at as many updates in all."""
    from gan_research.theory.phases import require_line
    from gan_research.theory.plots import draw_inner_steps

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


def dirac(given: Arguments) -> int:
    """The Dirac-GAN of one loss with its regularisers, or the table of all pairs."""
    from gan_research.theory import dirac as theory
    from gan_research.theory.plots import draw_dirac, film_dirac, sampled_field

    if "--all" in given.options:
        return dirac_table(given)
    composition = compose_train(given.overrides, given.config_dir)
    config = composition.config
    regularizers = {name: make(node) for name, node in (config["regularizer"] or {}).items()}
    game = theory.DiracGAN(make(config["loss"]), regularizers)
    starts = torch.tensor(theory.STARTS, dtype=torch.float64)
    rounds, lr = config["rounds"], config["optimizer"]["generator"]["lr"]
    if rounds < 20:
        raise UserError(f"rounds={rounds} are too few to say what becomes of the game: give at least 20")
    paths, rates = {"flow": theory.flow(game, starts, rounds * lr)}, {"flow": game.rate}
    optimizers = {f"{player}_optimizer": make(node) for player, node in config["optimizer"].items()}
    for updates in ("simultaneous", "alternating"):
        schedule = make({**config["schedule"], "updates": updates})
        paths[updates] = theory.gradient_steps(game, starts, rounds, schedule, **optimizers)
        rates[updates] = game.played_rate(schedule, lr) if plain_descent(config["optimizer"]) else None
    notes = game.notes()
    if config["lr_schedule"]["generator"] or config["lr_schedule"]["discriminator"]:
        notes.append("the learning rates stay as they are: lr_schedule has no part in this")
    if rounds * lr < 25:
        notes.append(f"{rounds} steps of {lr:g} are {rounds * lr:g} units of time: under two turns of the game")
    verdicts = {name: theory.verdict(path.norm(dim=-1), rates[name]) for name, path in paths.items()}
    values = game.eigenvalues
    shown = "none: not differentiable" if values is None else ", ".join(f"{v.real:.6g}{v.imag:+.6g}i" for v in values)
    numbers = {
        "loss": composition.choices["loss"],
        "regularizers": list(regularizers),
        "eigenvalues": complex_pairs(values),
        "verdicts": verdicts,
        "notes": notes,
        "trajectories": {name: plain(path) for name, path in paths.items()},
    }
    rows = [("eigenvalues", shown), *verdicts.items(), *(("note", note) for note in notes)]
    title = " + ".join([f"Dirac-GAN: {composition.choices['loss']}", *regularizers])
    arrows = sampled_field(game.field)
    figure = draw_dirac(f"{title} (eigenvalues {shown})", arrows, paths, rounds * lr)
    film = film_dirac(title, arrows, {name: thinned(path, rounds) for name, path in paths.items()})
    return publish(given, composition, "dirac", numbers, figure, rows, film)


def plain_descent(optimizer: dict[str, Any]) -> bool:
    """Whether both players take plain gradient steps of one rate: what the linearisation of a round is of."""
    keys = ({k: v for k, v in node.items() if v} for node in optimizer.values())
    first, second = keys
    return first == second and set(first) == {"_target_", "_partial_", "lr"} and first["_target_"] == "torch.optim.SGD"


def dirac_table(given: Arguments) -> int:
    """Which losses converge with which regularisers, each of weight 1 where it has one."""
    from gan_research.theory import dirac as theory
    from gan_research.theory.plots import draw_dirac_table

    composition = compose_train(given.overrides, given.config_dir)
    regularizers: dict[str, dict[str, Any]] = {}
    for name, node in all_choices(given, "regularizer").items():
        node = node | ({"weight": 1.0} if "weight" in node else {})
        regularizers[name] = {name: make(node)} if node else {}
    rates = composition.config["optimizer"]["generator"]["lr"], composition.config["rounds"]
    rows = theory.table(all_losses(given), regularizers, time=rates[0] * rates[1], lr=rates[0])
    numbers = {"rows": [plain_row(row) for row in rows]}
    ways = ("flow", "simultaneous", "alternating")
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        alike.setdefault((row.regularizer, *(getattr(row, way) for way in ways)), []).append(row.loss)
    found = [(*key, " ".join(names)) for key, names in sorted(alike.items())]
    header = ("regularizer", *ways, "losses")
    return publish(given, composition, "dirac-all", numbers, draw_dirac_table(rows), found, None, header)


def plain_row(row: Any) -> dict[str, Any]:
    """A row of the table as plain values."""
    return {**vars(row), "eigenvalues": complex_pairs(row.eigenvalues)}


def complex_pairs(values: Iterable[complex] | None) -> list[list[float]] | None:
    """Complex numbers as [real, imaginary]."""
    return None if values is None else [[value.real, value.imag] for value in values]


def thinned(path: torch.Tensor, rounds: int) -> torch.Tensor:
    """rounds + 1 states of a path (T, ...), evenly spaced."""
    return path[torch.linspace(0, len(path) - 1, rounds + 1).round().long()]


def plain(path: torch.Tensor, most: int = 200) -> list[Any]:
    """A path (T, starts, 2) as lists, thinned; what left for infinity is held at 1e6."""
    return thinned(path, min(most, len(path) - 1)).nan_to_num(1e6).clamp(-1e6, 1e6).tolist()


# --- what all share --------------------------------------------------------------------------------------------------


def shown(value: float | None) -> str:
    """A number in a table; None where it is infinite or isn't known."""
    return "-" if value is None else f"{value:.6g}"


def rises(paths: dict[str, dict[str, list[float]]], name: str) -> str:
    """How often it rises on the first of the paths."""
    values = next(iter(paths.values()))[name]
    return str(sum(after > before for before, after in pairwise(values)))


def all_losses(given: Arguments) -> dict[str, AdversarialLoss]:
    """Every choice of the group, the user's own as well."""
    return {name: make(node) for name, node in all_choices(given, "loss").items()}


def all_choices(given: Arguments, group: str) -> dict[str, dict[str, Any]]:
    return {name: choice(group, name, given.config_dir) for name in groups(given.config_dir)[group]}


class StudyRun:
    """The run of a study: its folder and loggers, which are finished whatever happens inside."""

    def __init__(self, given: Arguments, composition: Composition, name: str):
        config = composition.config
        of = "+".join([composition.choices["loss"], *(config["regularizer"] or {})])
        every_loss = name == "losses" or name == "dirac-all" or (name == "saturation" and not given.sets("loss"))
        stem = f"theory-{name}" if every_loss else f"theory-{name}-{of}"
        self.name, self.given = name, given
        self.run = Run.create(
            Path(config["output"]), f"{stem}-s{config['seed']}", stem, config["tags"], given.overrides, given.config_dir
        )
        self.run.begin(config)
        self.loggers = [History(self.run), *(make(node, run=self.run) for node in (config["logger"] or {}).values())]

    def __enter__(self) -> "StudyRun":
        return self

    def publish(
        self,
        numbers: dict[Any, Any],
        figure: Any,
        rows: list[tuple[str, ...]],
        film: Iterable[Any] | None = None,
        header: tuple[str, ...] = (),
    ) -> int:
        """Write and show what came of it; the exit status."""
        from gan_research.theory.publishing import publish

        folder = self.run.folder / "theory"
        publish(folder, self.name, numbers, figure, film, self.loggers)
        report(self.name, rows, folder, header)
        return 0

    def __exit__(self, kind: Any, *rest: Any) -> None:
        for logger in self.loggers:
            logger.finalize("success" if kind is None else "failed")


def publish(given: Arguments, composition: Composition, name: str, *result: Any) -> int:
    """A study that was computed in one go: its run, with all that came of it."""
    with StudyRun(given, composition, name) as study:
        return study.publish(*result)


def report(name: str, rows: Iterable[tuple[str, ...]], folder: Path, header: tuple[str, ...] = ()) -> None:
    """The numbers as a table, and where the files are."""
    console = Console()
    columns = [Column(heading, overflow="fold") for heading in header]
    table = Table(*columns, title=f"theory: {name}", show_header=bool(header), title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for path in sorted(folder.iterdir()):
        console.print(str(path), highlight=False, soft_wrap=True)
