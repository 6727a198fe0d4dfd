"""The declared theory of a loss: optimal discriminator, divergence, and the functional that the generator descends.

p is the data distribution and q the generator's: masses (S,) over the same states; see `divergences`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NoReturn

import torch
from torch import Tensor

from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class Functional:
    """A function of p and q, with its name in formulas; None if unknown."""

    name: str | None
    of: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, p: Tensor, q: Tensor) -> Tensor:
        return self.of(p, q)


def absent(reason: str) -> Functional:
    """Return a functional without a name that raises a UserError with the reason when called."""

    def refuse(p: Tensor, q: Tensor) -> NoReturn:
        raise UserError(reason)

    return Functional(None, refuse)


NO_DIVERGENCE = absent("this loss has no divergence in closed form: minimise its expected loss numerically")
NO_OPTIMAL_LOGIT = absent("this loss has no optimal logit in closed form: minimise its expected loss numerically")
NO_DESCENT = absent("for this loss, no functional of q is known whose gradient the generator follows")


@dataclass(frozen=True, kw_only=True)
class Theory:
    """The theory of a loss for distributions p and q, verified by tests.

    kind: the kind of proof. pointwise: D's loss is a sum over states, and `optimal_logit` takes densities as well as
    masses. shift: only differences of logits matter, which are unique up to a constant. metric: the logits are
    1-Lipschitz on the grid of states 0, 1, 2, ... numeric: no closed form, but minus the minimum of D's expected loss
    is `at_equality` at p = q, and more elsewhere. none: no theory, for the given `reason`.

    A call of an unknown functional (its `name` is None) raises a UserError.
    """

    kind: Literal["pointwise", "shift", "metric", "numeric", "none"]
    at_equality: float = math.nan  # the value of the game at p = q
    divergence: Functional = NO_DIVERGENCE
    """The value of the game minus its value at p = q: 0 there, and positive elsewhere."""
    optimal_logit: Functional = NO_OPTIMAL_LOGIT  # the optimal logits (S,) of the discriminator
    unique: bool = True  # true if the optimal logits are unique (for kind shift: up to a constant)
    descends: Functional = NO_DESCENT  # the functional of q whose gradient the generator follows at a fixed D*
    reason: str = ""

    @property
    def logit_at_equality(self) -> float:
        """The optimal logit at p = q; the middle one if there are several."""
        one = torch.ones(1, dtype=torch.float64)
        return self.optimal_logit(one, one).item() if self.optimal_logit.name else 0.0

    def value(self, p: Tensor, q: Tensor) -> Tensor:
        """Return the value of the game at D*: minus the minimum of the discriminator's expected loss."""
        return self.divergence(p, q) + self.at_equality


def unproved(reason: str) -> Theory:
    """Return the theory of a loss without one."""
    nothing = absent(f"this loss declares no theory: {reason}")
    return Theory(kind="none", divergence=nothing, optimal_logit=nothing, unique=False, descends=nothing, reason=reason)


LOG_RATIO = Functional("log p/q", lambda p, q: p.log() - q.log())
