"""The studies of games on tables: class-conditional ones, and augmentations of what D sees."""

from typing import Any

import torch

from gan_research.cli.arguments import Arguments
from gan_research.cli.studies.run import publish
from gan_research.config.build import make
from gan_research.config.compose import Composition
from gan_research.losses.divergences import kl, total_variation
from gan_research.theory import conditioning as classes
from gan_research.theory.augmentation import (
    View,
    descend,
    noise,
    of_group,
    optimal_logit,
    plain,
    pseudo,
    smoothed,
    transformed,
)
from gan_research.theory.plots.tables import Augmented, Equilibria, draw_augmentation, draw_conditioning


def masses(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


STATES = masses(0.55, 0.3, 0.1, 0.05)
CLASSES = torch.stack([STATES, STATES.flip(0)]) / 2  # the data: two classes, mirrored
WEIGHTS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)  # of the classifier's term in G's loss

TURNED, START = masses(0.7, 0.15, 0.1, 0.05), masses(0.1, 0.2, 0.3, 0.4)  # data and first fakes, over quarter turns
SHARES = (0.0, 0.5, 0.8, 0.95, 1.0)  # of transformed images
REAL, FAKE = masses(0.7, 0.2, 0.1), masses(0.2, 0.3, 0.5)
STEPS = 400  # of G
SHARE, SMOOTHING, STD = 0.3, 0.1, 0.8  # of pseudo-reals, of reals labelled fake, of noise


def views(points: torch.Tensor) -> dict[str, View]:
    """Return what D sees under each method, with states at `points` (S,)."""
    return {
        "none": plain(),
        f"APA, share {SHARE:g}": pseudo(SHARE),
        f"label smoothing {SMOOTHING:g}": smoothed(SMOOTHING),
        f"instance noise, std {STD:g}": transformed(noise(points, STD)),
    }


def conditioning(arguments: Arguments, composition: Composition) -> int:
    """Study the equilibria that classifiers add to a D without classes."""
    found = {
        name: [classes.equilibrium(CLASSES, term, weight, rate=1 / (1 + weight)) for weight in WEIGHTS]
        for name, term in classes.TERMS.items()
    }
    ends = {name: by_weight[WEIGHTS.index(1.0)] for name, by_weight in found.items()}
    weighted = {name: list(map(apart, by_weight)) for name, by_weight in found.items()}
    at_data = classes.adversarial(CLASSES, CLASSES)
    numbers = {
        name: {
            "p_g": q.tolist(),
            "total_variation": apart(q),
            "kl": kl(q.flatten(), CLASSES.flatten()).item(),
            "gradient_at_the_data": classes.force(at_data + classes.TERMS[name](CLASSES, CLASSES), CLASSES)
            .norm()
            .item(),
            "total_variation_by_weight": weighted[name],
        }
        for name, q in ends.items()
    }
    rows = [
        (name, *(f"{values[key]:z.3f}" for key in ("total_variation", "kl", "gradient_at_the_data")))
        for name, values in numbers.items()
    ]
    header = ("term in G's loss", "TV of p_g and the data", "KL(p_g || data)", "gradient at p_g = data")
    figure = draw_conditioning(Equilibria(CLASSES, ends, WEIGHTS, weighted))
    return publish(
        arguments, composition, "conditioning", {"weights": WEIGHTS, "terms": numbers}, figure, rows, None, header
    )


def apart(q: torch.Tensor) -> float:
    """Return the total variation of a table from the data."""
    return total_variation(CLASSES.flatten(), q.flatten()).item()


def augmentation(arguments: Arguments, composition: Composition) -> int:
    """Study what D sees: ADA's operator and its leak, and D* and G's end under APA, label smoothing and noise."""
    loss = make(composition.config["loss"])
    shares = torch.linspace(0, 1, 21, dtype=torch.float64)
    singular = torch.stack([torch.linalg.svdvals(of_group(share)) for share in shares.tolist()])
    leaks = {share: descend(loss, transformed(of_group(share)), TURNED, START, STEPS) for share in SHARES}
    on_table = views(torch.arange(3.0, dtype=torch.float64))
    logits = {name: optimal_logit(loss, view, REAL, FAKE) for name, view in on_table.items()}
    paths = {name: descend(loss, view, REAL, FAKE, STEPS) for name, view in on_table.items()}
    points = torch.linspace(-4, 4, 161, dtype=torch.float64)
    p, q = ((-(points - mean).square() / 2).softmax(0) for mean in (-1, 1))
    on_line = {name: optimal_logit(loss, view, p, q) for name, view in views(points).items()}
    shown = Augmented(shares, singular, TURNED, START, leaks, points, p, q, on_line, paths)
    numbers: dict[str, Any] = {
        "singular_values": {f"{share:g}": torch.linalg.svdvals(of_group(share)).tolist() for share in SHARES},
        "leak": {f"{share:g}": {"p_g": end.tolist(), "tv": tv.tolist()} for share, (end, tv) in leaks.items()},
        "optimal_logits": {name: found.tolist() for name, found in logits.items()},
        "descent": {name: {"p_g": end.tolist(), "tv": tv.tolist()} for name, (end, tv) in paths.items()},
    }
    rows = [
        (f"quarter turns with probability {share:g}", f"singular values 1, {1 - share:.2g}", f"{tv[-1]:.2g}")
        for share, (_, tv) in leaks.items()
    ]
    rows += [
        (name, "logits " + ", ".join(f"{x:.4f}" for x in logits[name]), f"{tv[-1]:.2g}")
        for name, (_, tv) in paths.items()
    ]
    header = ("what D sees", "its operator, or D*", f"TV of p_g and the data after {STEPS} steps")
    return publish(arguments, composition, "augmentation", numbers, draw_augmentation(shown), rows, None, header)
