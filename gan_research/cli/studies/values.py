"""The studies of the losses and of the value of the game."""

import math
from typing import Any

import torch

from gan_research.cli.arguments import Arguments
from gan_research.cli.studies.run import all_losses, publish
from gan_research.config.build import build_data, build_game, make
from gan_research.config.compose import Composition
from gan_research.data.densities import Gaussian
from gan_research.losses import AdversarialLoss
from gan_research.theory import optimum as best
from gan_research.theory import saturation as pulling
from gan_research.theory.dirac_dynamics import gradient_steps
from gan_research.theory.generator_density import data_masses, trace
from gan_research.theory.phases import optimal_logit, require_line
from gan_research.theory.plots.saddle import EXTENT, SaddleView, Surface, film_saddle, view
from gan_research.theory.plots.values import Densities, draw_divergences, draw_optimum, draw_saturation
from gan_research.theory.saddle import Location, find_saddle
from gan_research.training.gan import GAN
from gan_research.utils.errors import UserError

UNIT = Gaussian(0.0, 1.0)
START = torch.tensor([2.0, -1.0], dtype=torch.float64)  # (theta, phi): G is off to one side, D expects it on the other


def losses(arguments: Arguments, composition: Composition) -> int:
    """Study the theory of each loss, and its divergence of two Gaussians."""
    chosen = all_losses(arguments)
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
        measured = theory.divergence.name
        rows.append((name, theory.kind, measured or "-", f"{theory.at_equality:.6g}", theory.descends.name or "-"))
        declared[name] = dict(zip(("kind", "divergence", "at_equality", "descends"), rows[-1][1:], strict=True))
        if measured:
            unit = (edges[1] - edges[0]).item() if theory.kind == "metric" else 1.0  # W1's grid has steps of 1
            curves[name] = torch.stack([unit * theory.divergence(p, q) for q in qs])
    numbers = {"losses": declared, "means": means.tolist(), "divergences": {n: c.tolist() for n, c in curves.items()}}
    header = ("loss", "proof", "divergence of p and q", "value at p = q", "G descends")
    figure = draw_divergences(means, curves, others=[name for name in chosen if name not in curves])
    return publish(arguments, composition, "losses", numbers, figure, rows, None, header)


def optimum(arguments: Arguments, composition: Composition) -> int:
    """Study proposition 1, theorem 1, equation 3, and D* between the data and N(0, 1)."""
    data = build_data(composition.config)
    game = build_game(composition.config, data)
    density = require_line(data)
    low, high = density.bounds[0]
    x = torch.linspace(low - 1, high + 1, 400, dtype=torch.float64)
    p, q = (which.log_prob(x[:, None]).exp() for which in (density, UNIT))
    found, predicted = best.pointwise_optimum(game.loss, p, q), optimal_logit(game.loss, p, q)
    maxima = {(a, b): best.proposition_1(a, b) for a, b in ((1, 1), (3, 1), (1, 3), (0.3, 0.1))}
    saddle, found_saddle = saddle_of_training(composition.config, game) if predicted is not None else (None, {})
    numbers: dict[str, Any] = {
        "proposition_1": {
            f"{a:g}, {b:g}": {"found": m.found, "predicted": m.predicted} for (a, b), m in maxima.items()
        },
        "value": {f"N(0, 1), N({mean:g}, 1)": value_of_shift(mean) for mean in (0.0, 0.5, 1.0, 2.0, 4.0)},
        **identities(game),
        **found_saddle,
    }
    if predicted is not None:
        numbers["best_logit"] = {"largest error": (found - predicted).abs().max().item()}
    figure = draw_optimum(maxima, Densities(x, p, q, found, predicted), surface_at_optimum(game.loss), saddle)
    film = film_saddle(saddle) if saddle else None
    return publish(arguments, composition, "optimum", numbers, figure, lines(numbers), film)


def surface_at_optimum(loss: AdversarialLoss) -> Surface:
    """Evaluate the value at D* at one x, for densities up to 1 there."""
    ticks = torch.linspace(0.02, 1, 50, dtype=torch.float64)
    p, q = torch.meshgrid(ticks, ticks, indexing="ij")
    values, logits = best.value_at_optimum(loss, p, q)
    if loss.logits_are_log_odds:
        return Surface(p, q, values, logits.sigmoid(), "D*")
    return Surface(p, q, values, logits, "logit of D*")


def saddle_of_training(config: dict[str, Any], game: GAN) -> tuple[SaddleView, dict[str, dict[str, float]]]:
    """Train the Gaussians of `theory.saddle` by a config's schedule and optimizers, from START.

    The learning rates are constant. The path ends before it leaves the drawn surface, where training diverges.
    """
    location = Location(game.loss)
    saddle = find_saddle(location)
    optimizers = {f"{player}_optimizer": make(node) for player, node in config["optimizer"].items()}
    path = gradient_steps(location, START, config["rounds"], make(config["schedule"]), **optimizers)
    path = path[: (path.abs() <= EXTENT).all(1).cumprod(0).sum()]
    low, high = saddle.curvatures
    (theta, phi), (last_theta, last_phi) = saddle.state.tolist(), path[-1].tolist()
    numbers = {
        "saddle": {"theta": theta, "phi": phi, "V": saddle.value, "slope": saddle.slope},
        "curvatures_at_the_saddle": {"least": low, "largest": high},
        "end_of_training": {
            "round": float(len(path) - 1),
            "theta": last_theta,
            "phi": last_phi,
            "V": location.value(path[-1]).item(),
        },
    }
    return view(location, saddle, path), numbers


def value_of_shift(mean: float) -> dict[str, float]:
    """Compute both sides of theorem 1 for N(0, 1) and N(mean, 1)."""
    value, jsd = best.value_of_densities(UNIT.log_prob, Gaussian(mean, 1.0).log_prob, (-40.0, 40.0))
    return {"V(D*, G)": value, "2 JSD - log 4": 2 * jsd - math.log(4), "jsd": jsd}


def identities(game: GAN) -> dict[str, dict[str, float]]:
    """Compute V as a cross-entropy, and an expectation over z and over p_g."""
    logits = torch.linspace(-3, 3, 64, dtype=torch.float64)
    values = trace(game.generator, game.prior).values
    low, high = values.min().item(), values.max().item()
    margin = 0.1 * (high - low) + 1e-6
    edges = torch.linspace(low - margin, high + margin, 6001, dtype=torch.float64)
    over_z, over_p_g = best.unconscious_statistician(game.generator, game.prior, torch.cos, edges)
    return {
        "cross_entropy": {
            "V": best.value(logits, -logits).item(),
            "-2 mean cross-entropy": best.value_from_cross_entropy(logits, -logits).item(),
        },
        "unconscious_statistician": {"E_z cos G(z)": over_z, "E_x cos x": over_p_g},
    }


def lines(numbers: dict[str, Any], name: str = "") -> list[tuple[str, ...]]:
    """Return nested numbers as the rows of a table, the innermost in one line."""
    if all(isinstance(value, float) for value in numbers.values()):
        return [(name.replace("_", " "), ", ".join(f"{key} = {value:.9g}" for key, value in numbers.items()))]
    parts = ((f"{name}: {key}" if name else key, part) for key, part in numbers.items())
    return [row for full, part in parts for row in lines(part, full)]


def saturation(arguments: Arguments, composition: Composition) -> int:
    """Study the generator's gradient for every loss, or for the chosen one and Goodfellow's two.

    It is also measured, with the game's untrained networks on its data.
    """
    config = composition.config
    losses = all_losses(arguments)
    if arguments.sets("loss"):
        pair = {name: losses[name] for name in ("minimax", "non_saturating")}
        losses = pair | {composition.choices["loss"]: make(config["loss"])}
    logits = torch.linspace(-15, 15, 301, dtype=torch.float64)
    pulls = {name: pulling.pull(loss, logits) for name, loss in losses.items()}
    data = build_data(config)
    game = build_game(config, data)
    density = require_line(data)
    optimizer = make(config["optimizer"]["discriminator"])
    sizes = {"batch_size": config["batch_size"], "seed": config["seed"]}
    measured = pulling.measured(
        losses, game.generator, game.discriminator, game.prior, density.sample, optimizer, **sizes
    )
    numbers = {
        "logit": logits.tolist(),
        "gradient": {name: pull.gradients.tolist() for name, pull in pulls.items()},
        "measured": [vars(row) for row in measured],
    }
    first, last = measured[0].norms, measured[-1].norms
    rows = [(f"D(G(z)) after {row.steps} updates of D", f"{row.rejection:.3g}") for row in measured]
    rows += [(f"G's gradient under {name}", f"{last[name]:.3g}, at first {first[name]:.3g}") for name in losses]
    figure = draw_saturation(pulls, measured)
    return publish(arguments, composition, "saturation", numbers, figure, rows)
