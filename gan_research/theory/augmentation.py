"""Augmentations on tables: the optimal discriminator, and the end of a free generator.

p and q (S,) are the masses of data and of fakes. A `View` maps them to the masses that D is to take for real and for
fake, with the operator that it applies to fakes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gan_research.losses.base import AdversarialLoss
from gan_research.losses.divergences import total_variation
from gan_research.theory.optimum import pointwise
from gan_research.utils.errors import UserError


class Seen(NamedTuple):
    """The masses (S,) that D is to take for real and for fake; they may sum to another number than 1."""

    real: Tensor
    fake: Tensor


@dataclass(frozen=True)
class View:
    """A view of p and q, with its operator (S, S) on distributions in G's updates; None: the identity."""

    of: Callable[[Tensor, Tensor], Seen]
    operator: Tensor | None = None


def plain() -> View:
    """Return the view without any augmentation."""
    return View(Seen)


def transformed(operator: Tensor) -> View:
    """Return the view through a random transformation: `operator` (S, S), whose columns sum to 1."""
    return View(lambda p, q: Seen(operator @ p, operator @ q), operator)


def pseudo(share: float) -> View:
    """Return APA's view, in which a share of reals are fakes (Jiang et al. 2021)."""
    return View(lambda p, q: Seen((1 - share) * p + share * q, q))


def smoothed(smoothing: float) -> View:
    """Return the view under one-sided label smoothing: a share of reals is labelled fake."""
    return View(lambda p, q: Seen((1 - smoothing) * p, q + smoothing * p))


def of_group(share: float, states: int = 4) -> Tensor:
    """Return the operator `(1 - share) I + share * mean of P_g` of the cyclic group: ADA's of quarter turns."""
    mean = torch.full((states, states), 1 / states, dtype=torch.float64)
    return (1 - share) * torch.eye(states, dtype=torch.float64) + share * mean


def noise(points: Tensor, std: float) -> Tensor:
    """Return the operator of Gaussian noise on states at `points` (S,), which no mass leaves."""
    kernel = (-((points[:, None] - points) / std).square() / 2).exp()
    return kernel / kernel.sum(0)


def optimal_logit(loss: AdversarialLoss, view: View, p: Tensor, q: Tensor) -> Tensor:
    """Return the optimal logits (S,); UserError unless the loss's D* is pointwise and unique."""
    theory = pointwise(loss).theory()
    if not theory.unique:
        raise UserError(f"{type(loss).__name__} has no unique D*: choose a loss that has one, such as minimax")
    return theory.optimal_logit(*view.of(p, q))


def descend(
    loss: AdversarialLoss, view: View, p: Tensor, q: Tensor, steps: int, rate: float = 0.5
) -> tuple[Tensor, Tensor]:
    """Run mirror descent on G's own loss at D*, from q (S,).

    A step is `q <- q exp(-rate * loss) / sum`, with the mean loss of a fake in each state over its transformations.
    Returns the last q, and TV(p, q) before each step and at the end.
    """
    distances = []
    for _ in range(steps):
        distances.append(total_variation(p, q))
        losses = loss.generator(optimal_logit(loss, view, p, q), torch.zeros_like(q))
        losses = losses if view.operator is None else view.operator.T @ losses
        q = (q.log() - rate * losses).softmax(0)
    return q, torch.stack([*distances, total_variation(p, q)])
