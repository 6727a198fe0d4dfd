"""The study of the Dirac-GAN: one loss with its regularizers, or all pairs."""

from collections.abc import Iterable
from typing import Any

import torch

from gan_research.cli.arguments import Arguments
from gan_research.cli.studies.run import all_choices, all_losses, publish
from gan_research.config.build import make
from gan_research.config.compose import Composition
from gan_research.theory.dirac import DiracGAN
from gan_research.theory.dirac_dynamics import STARTS, flow, gradient_steps, verdict
from gan_research.theory.dirac_table import matrix, table
from gan_research.theory.plots.dirac import draw_dirac, draw_dirac_table, film_dirac, sampled_field
from gan_research.utils.errors import UserError


def dirac(arguments: Arguments, composition: Composition) -> int:
    """Study one loss with its regularizers and augmentations, or all pairs."""
    if "--all" in arguments.options:
        return dirac_table(arguments, composition)
    config = composition.config
    nodes = {**(config["regularizer"] or {}), **(config["augment"] or {})}
    components = {name: make(node) for name, node in nodes.items()}
    game = DiracGAN(make(config["loss"]), components)
    starts = torch.tensor(STARTS, dtype=torch.float64)
    rounds, lr = config["rounds"], config["optimizer"]["generator"]["lr"]
    if rounds < 20:
        raise UserError(f"rounds={rounds} are too few to judge convergence: set at least 20")
    paths, rates = {"flow": flow(game, starts, rounds * lr)}, {"flow": game.rate}
    optimizers = {f"{player}_optimizer": make(node) for player, node in config["optimizer"].items()}
    for updates in ("simultaneous", "alternating"):
        schedule = make({**config["schedule"], "updates": updates})
        paths[updates] = gradient_steps(game, starts, rounds, schedule, **optimizers)
        rates[updates] = game.step_rate(schedule, lr) if plain_descent(config["optimizer"]) else None
    notes = game.notes()
    if config["lr_schedule"]["generator"] or config["lr_schedule"]["discriminator"]:
        notes.append("the learning rates are constant: lr_schedule is ignored")
    if rounds * lr < 25:
        notes.append(f"{rounds} steps of {lr:g} are {rounds * lr:g} units of time: under two turns of the game")
    verdicts = {name: verdict(path.norm(dim=-1), rates[name]) for name, path in paths.items()}
    values = game.eigenvalues
    eigenvalues = ", ".join(f"{v.real:.6g}{v.imag:+.6g}i" for v in values) if values else "none: not differentiable"
    numbers = {
        "loss": composition.choices["loss"],
        "regularizers": list(components),
        "eigenvalues": complex_pairs(values),
        "verdicts": verdicts,
        "notes": notes,
        "trajectories": {name: plain(path) for name, path in paths.items()},
    }
    rows = [("eigenvalues", eigenvalues), *verdicts.items(), *(("note", note) for note in notes)]
    title = " + ".join([f"Dirac-GAN: {composition.choices['loss']}", *components])
    arrows = sampled_field(game.field, extent=1.1 * paths["flow"].abs().max().clamp(1.3, 2.7).item())
    figure = draw_dirac(f"{title} (eigenvalues {eigenvalues})", arrows, paths, verdicts, rounds * lr)
    film = film_dirac(title, arrows, {name: thinned(path, rounds) for name, path in paths.items()})
    return publish(arguments, composition, "dirac", numbers, figure, rows, film)


def dirac_table(arguments: Arguments, composition: Composition) -> int:
    """Study all losses with all regularizers (of weight 1) and augmentations.

    Components and losses that the Dirac-GAN supports in no pair are left out. The numbers of each pair are in the JSON
    file.
    """
    components: dict[str, dict[str, Any]] = {}
    for name, node in {**all_choices(arguments, "regularizer"), **all_choices(arguments, "augment")}.items():
        node = node | ({"weight": 1.0} if "weight" in node else {})
        components[name] = {name: make(node)} if node else {}
    lr = composition.config["optimizer"]["generator"]["lr"]
    rows = table(all_losses(arguments), components, time=lr * composition.config["rounds"], lr=lr)
    studied = {name for row in rows if row.flow != "refused" for name in (row.loss, row.regularizer)}
    rows = [row for row in rows if {row.loss, row.regularizer} <= studied]
    numbers = {"rows": [{**vars(row), "eigenvalues": complex_pairs(row.eigenvalues)} for row in rows]}
    return publish(arguments, composition, "dirac-all", numbers, draw_dirac_table(rows), matrix(rows))


def plain_descent(optimizer: dict[str, Any]) -> bool:
    """Return whether both players use plain SGD of one rate, as `step_rate` assumes."""
    first, second = ({k: v for k, v in node.items() if v} for node in optimizer.values())
    return first == second and set(first) == {"_target_", "_partial_", "lr"} and first["_target_"] == "torch.optim.SGD"


def thinned(path: torch.Tensor, rounds: int) -> torch.Tensor:
    """Return rounds + 1 evenly spaced states of a path (T, ...)."""
    return path[torch.linspace(0, len(path) - 1, rounds + 1).round().long()]


def plain(path: torch.Tensor, most: int = 200) -> list[Any]:
    """Return a path (T, starts, 2) as lists, thinned, with divergent values clamped to 1e6."""
    return thinned(path, min(most, len(path) - 1)).nan_to_num(1e6).clamp(-1e6, 1e6).tolist()


def complex_pairs(values: Iterable[complex] | None) -> list[list[float]] | None:
    """Return complex numbers as [real, imaginary]."""
    return None if values is None else [[value.real, value.imag] for value in values]
