"""Goodfellow et al. 2014, proposition 2, on finitely many states: p_g itself is updated at the optimal D.

U(q) = max over D of V(D, q) is convex in the generator's masses q (S,), as a maximum of functions that are linear in q;
its gradient equals V's at a fixed D* (the envelope theorem). So small steps down U lead to its minimum, p.
This holds for the value of each loss. G's own descent, where its loss isn't -V (non-saturating), is computed too.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gan_research.losses.base import AdversarialLoss
from gan_research.losses.divergences import jsd
from gan_research.losses.theory import Theory
from gan_research.utils.errors import UserError

Follows = Literal["value", "generator"]


@dataclass(frozen=True)
class Path:
    """A descent of T steps from q_0: the states before each step and after the last."""

    q: Tensor  # the masses (T + 1, S)
    values: Tensor  # the value of the game at D* (T + 1,)
    jsds: Tensor
    at_equality: float  # the value at q = p


def convexity(loss: AdversarialLoss, p: Tensor, segments: int = 64, points: int = 33, seed: int = 0) -> Tensor:
    """Evaluate U along random segments in the simplex, for data masses p (S,).

    Returns (segments, points), without negative second differences if U is convex.
    """
    theory, p = _proved(loss), _masses(p)
    generator = torch.Generator().manual_seed(seed)
    ends = -torch.rand(2, segments, len(p), generator=generator, dtype=torch.float64).log()  # uniform on the simplex
    start, end = ends / ends.sum(2, keepdim=True)
    along = torch.linspace(0, 1, points, dtype=torch.float64)
    values = [theory.value(p, torch.lerp(a, b, t)) for a, b in zip(start, end, strict=True) for t in along]
    return torch.stack(values).view(segments, points)


def envelope(loss: AdversarialLoss, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centered gradients (S,) of U and of V at a fixed D*."""
    theory, p, q = _proved(loss), _masses(p), _masses(q).requires_grad_()
    total = _gradient(theory.value(p, q), q)
    logits = theory.optimal_logit(p, q.detach())
    return total, _gradient(-loss.expected("discriminator", logits, p, q), q)


def descend(
    loss: AdversarialLoss, p: Tensor, q: Tensor, follows: Follows = "value", steps: int = 200, step: float = 1.0
) -> Path:
    """Run mirror descent at the optimal D, from q (S,) without zeros.

    A step is `q <- q exp(-step gradient) / sum`.
    `value`: down U, as in proposition 2; a step that would raise U is halved until it is "sufficiently small". (For
    minimax a step of 1 never does: the curvature of 2 JSD is at most p / (q (p + q)), that of the entropy 1 / q.) Where
    D* isn't unique U has kinks, at which no step may lower it; Polyak's steps (see `_polyak`) lower KL(p || q).
    `generator`: down the generator's own loss at a fixed D*, by full steps. If they are small and both gradients fall
    with p / q, as for pointwise losses, U falls too, at the rate of their Cov_q (Chebyshev).
    """
    theory, p, q = _proved(loss), _masses(p), _masses(q)
    states = [q]
    while step and len(states) <= steps:
        here = q.clone().requires_grad_()
        value = theory.value(p, here)
        if follows == "value" and theory.unique:
            q, step = _step_down(theory, p, q, _gradient(value, here), step)
        elif follows == "value":
            q = _polyak(q, _gradient(value, here), (value - theory.at_equality).item())
        else:
            logits = theory.optimal_logit(p, q)
            q = _mirror(q, _gradient(loss.expected("generator", logits, p, here), here), step)
        states.append(q)
    states += [q] * (steps + 1 - len(states))  # at the minimum
    return Path(
        q=torch.stack(states),
        values=torch.stack([theory.value(p, state) for state in states]),
        jsds=torch.stack([jsd(p, state) for state in states]),
        at_equality=theory.at_equality,
    )


def _step_down(theory: Theory, p: Tensor, q: Tensor, gradient: Tensor, step: float) -> tuple[Tensor, float]:
    """Return the next q, of no greater value, and its step; q and 0 if none is found."""
    before = theory.value(p, q)
    for _ in range(30):
        after = _mirror(q, gradient, step)
        if theory.value(p, after) <= before:
            return after, step
        step /= 2
    return q, 0.0


def _polyak(q: Tensor, gradient: Tensor, excess: float) -> Tensor:
    """Take Polyak's step `(U - min U) / ||gradient||^2`, in the norm dual to the total variation.

    It lowers KL(p || q) by at least (U - min U)^2 / (2 ||gradient||^2) for any subgradient.
    """
    norm = (gradient.max() - gradient.min()).item() / 2
    return _mirror(q, gradient, excess / norm**2) if norm > 0 else q


def _mirror(q: Tensor, gradient: Tensor, step: float) -> Tensor:
    return (q.log() - step * gradient).softmax(0)


def _gradient(scalar: Tensor, q: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(scalar, q)
    return gradient - gradient.mean()


def _proved(loss: AdversarialLoss) -> Theory:
    """Return the loss's theory; raise a UserError without a value in closed form."""
    theory = loss.theory()
    if theory.divergence.name is None:
        why = theory.reason or f"it is of kind {theory.kind}"
        raise UserError(f"{type(loss).__name__} has no value at D* in closed form ({why}): choose a loss that has one")
    return theory


def _masses(masses: Tensor) -> Tensor:
    return masses.detach().to("cpu", torch.float64)
