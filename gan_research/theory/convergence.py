"""Goodfellow et al. 2014, proposition 2, on finitely many states: p_g itself is updated, D at its best each time.

U(q) = max over D of V(D, q) is convex in the generator's masses q (S,), as a maximum of functions that are linear in q;
its gradient is that of V at D* held fixed (the envelope theorem). So small steps down it lead to its minimum, p.
All of it holds for each loss in its own value; what G follows where its loss isn't -V (non-saturating) is shown beside.
"""

from collections.abc import Callable
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
class Convexity:
    """`values` (segments, points) of U at even points of random segments between distributions."""

    values: Tensor

    @property
    def second_differences(self) -> Tensor:
        """(segments, points - 2): none is negative where U is convex."""
        return self.values.diff(n=2, dim=1)


@dataclass(frozen=True)
class Envelope:
    """The gradient (S,) of U in q, and that of V at D* held fixed; both less their mean, as q's sum stays 1."""

    total: Tensor
    at_fixed_discriminator: Tensor

    @property
    def error(self) -> float:
        return (self.total - self.at_fixed_discriminator).abs().max().item()


@dataclass(frozen=True)
class Path:
    """A descent of T steps from q_0: the state before each step and after the last."""

    q: Tensor
    """(T + 1, S)"""
    values: Tensor
    """(T + 1,): the value of the game at D*."""
    jsds: Tensor
    """(T + 1,)"""
    descended: Tensor | None
    """(T + 1,): what the theory says that was descended; None if no such functional is known."""
    descended_name: str | None
    at_equality: float
    """The value at q = p."""


def convexity(loss: AdversarialLoss, p: Tensor, segments: int = 64, points: int = 33, seed: int = 0) -> Convexity:
    """U along random segments inside of the simplex, for data masses p (S,)."""
    theory, p = _proved(loss), _masses(p)
    generator = torch.Generator().manual_seed(seed)
    ends = -torch.rand(2, segments, len(p), generator=generator, dtype=torch.float64).log()  # uniform on the simplex
    start, end = ends / ends.sum(2, keepdim=True)
    along = torch.linspace(0, 1, points, dtype=torch.float64)
    values = [theory.value(p, torch.lerp(a, b, t)) for a, b in zip(start, end, strict=True) for t in along]
    return Convexity(torch.stack(values).view(segments, points))


def envelope(loss: AdversarialLoss, p: Tensor, q: Tensor) -> Envelope:
    """The total gradient of U at q against the partial one, through q alone with D* held fixed."""
    theory, p, q = _proved(loss), _masses(p), _masses(q).requires_grad_()
    total = _gradient(theory.value(p, q), q)
    logits = theory.optimal_logit(p, q.detach())
    return Envelope(total, _gradient(-loss.expected("discriminator", logits, p, q), q))


def descend(
    loss: AdversarialLoss, p: Tensor, q: Tensor, follows: Follows = "value", steps: int = 200, step: float = 1.0
) -> Path:
    """Mirror descent q <- q exp(-step gradient) / sum from q (S,) without empty states; D plays its best each time.

    `value`: down U, as proposition 2 has it; "sufficiently small" is had by halving a step that would lead up. (For
    minimax a step of 1 never does: 2 JSD curves by p / (q (p + q)) at most, the entropy by 1 / q.) Where D* isn't
    unique U has kinks, at which no step need lead down; there steps are Polyak's (see `_polyak`), and KL(p || q) falls.
    `generator`: down the generator's own loss at D* held fixed, by whole steps. Where these are small and both
    gradients fall with p / q, as of pointwise losses, U falls too, at the rate Cov_q of them (Chebyshev).
    """
    theory, p, q = _proved(loss), _masses(p), _masses(q)
    states = [q]
    for _ in range(steps):
        if step == 0:  # at the bottom
            states.append(q)
            continue
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
    return _path(theory, p, torch.stack(states), follows)


def descend_family(
    loss: AdversarialLoss,
    p: Tensor,
    family: Callable[[Tensor], Tensor],
    parameters: Tensor,
    follows: Follows = "value",
    steps: int = 200,
    step: float = 0.1,
) -> tuple[Tensor, Path]:
    """Gradient descent in the parameters (D,) of q = family(parameters) (S,): what proposition 2 does not cover.

    U is not convex in the parameters, and the generator's own way may lead up. Returns the parameters (T + 1, D) too.
    """
    theory, p = _proved(loss), _masses(p)
    way = [_masses(parameters)]
    for _ in range(steps):
        here = way[-1].clone().requires_grad_()
        q = family(here)
        if follows == "value":
            objective = theory.value(p, q)
        else:
            objective = loss.expected("generator", theory.optimal_logit(p, q.detach()), p, q)
        way.append(way[-1] - step * torch.autograd.grad(objective, here)[0])
    with torch.no_grad():
        states = torch.stack([family(at) for at in way])
    return torch.stack(way), _path(theory, p, states, follows)


def _path(theory: Theory, p: Tensor, states: Tensor, follows: Follows) -> Path:
    down = theory.divergence if follows == "value" else theory.descends
    return Path(
        q=states,
        values=torch.stack([theory.value(p, state) for state in states]),
        jsds=torch.stack([jsd(p, state) for state in states]),
        descended=torch.stack([down(p, state) for state in states]) if down.name else None,
        descended_name=down.name,
        at_equality=theory.at_equality,
    )


def regret(loss: AdversarialLoss, logits: Tensor, p: Tensor, q: Tensor) -> float:
    """What a discriminator misses: V(D*, G) - V(D, G) for its logits (S,) on states of masses p and q (S,); in nats.

    It is 0 or more where D plays the game that the theory is of (for wasserstein: 1-Lipschitz on the grid of states).
    """
    theory, p, q = _proved(loss), _masses(p), _masses(q)
    return (theory.value(p, q) + loss.expected("discriminator", logits.detach().to(p), p, q)).item()


def _step_down(theory: Theory, p: Tensor, q: Tensor, gradient: Tensor, step: float) -> tuple[Tensor, float]:
    """The next q, of no greater value, and the step that led there; q and 0 where rounding hides any descent."""
    before = theory.value(p, q)
    for _ in range(30):
        after = _mirror(q, gradient, step)
        if theory.value(p, after) <= before:
            return after, step
        step /= 2
    return q, 0.0


def _polyak(q: Tensor, gradient: Tensor, excess: float) -> Tensor:
    """The step (U - min U) / ||gradient||^2 of Polyak, in the norm dual to the total variation of q.

    It lowers KL(p || q) by (U - min U)^2 / (2 ||gradient||^2) or more, whatever subgradient it is given.
    """
    norm = (gradient.max() - gradient.min()).item() / 2
    return _mirror(q, gradient, excess / norm**2) if norm > 0 else q


def _mirror(q: Tensor, gradient: Tensor, step: float) -> Tensor:
    return (q.log() - step * gradient).softmax(0)


def _gradient(scalar: Tensor, q: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(scalar, q)
    return gradient - gradient.mean()


def _proved(loss: AdversarialLoss) -> Theory:
    """The loss's theory. UserError where it has no value in closed form."""
    theory = loss.theory()
    if theory.divergence.name is None:
        why = theory.reason or f"it is of kind {theory.kind}"
        raise UserError(f"{type(loss).__name__} has no value at D* in closed form ({why}): take a loss that has one")
    return theory


def _masses(masses: Tensor) -> Tensor:
    return masses.detach().to("cpu", torch.float64)
