"""What a loss says of its game: the best discriminator, the divergence it measures, and what the generator descends.

p is the data's distribution and q the generator's: masses (S,) over the same states; see `divergences`.
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
    """A function of p and q, by the name that it goes by in formulas; one that is absent has none."""

    name: str | None
    of: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, p: Tensor, q: Tensor) -> Tensor:
        return self.of(p, q)


def absent(reason: str) -> Functional:
    """In place of what isn't there: to ask for it is an error that gives the reason."""

    def refuse(p: Tensor, q: Tensor) -> NoReturn:
        raise UserError(reason)

    return Functional(None, refuse)


NO_DIVERGENCE = absent("this loss has no divergence in closed form: minimise its expected loss numerically")
NO_OPTIMAL_LOGIT = absent("this loss has no optimal logit in closed form: minimise its expected loss numerically")
NO_DESCENT = absent("of this loss no functional of q is known whose gradient the generator follows")


@dataclass(frozen=True, kw_only=True)
class Theory:
    """What a loss claims, and the tests prove, of distributions p and q.

    kind: how it is proved. pointwise: D's loss is a sum over states, and `optimal_logit` takes densities as well as
    masses. shift: only differences of logits count, which are unique up to a constant. metric: the logits are
    1-Lipschitz on the grid of states 0, 1, 2, ... numeric: no closed form, but minus the minimum of D's expected loss
    is `at_equality` at p = q, and more elsewhere. none: nothing is claimed, for the `reason` given.

    Calling what a theory lacks (its `name` is None) raises a UserError.
    """

    kind: Literal["pointwise", "shift", "metric", "numeric", "none"]

    at_equality: float = math.nan
    """The value of the game at p = q."""

    divergence: Functional = NO_DIVERGENCE
    """The value of the game less that at p = q: 0 there, and positive elsewhere."""

    optimal_logit: Functional = NO_OPTIMAL_LOGIT
    """The discriminator's best logits (S,)."""

    unique: bool = True
    """Whether no other logits are as good (of kind shift: none but for a constant)."""

    descends: Functional = NO_DESCENT
    """The functional of q whose gradient is that of the generator's expected loss, D* held fixed."""

    reason: str = ""

    @property
    def divergence_name(self) -> str | None:
        return self.divergence.name

    @property
    def descends_name(self) -> str | None:
        return self.descends.name

    @property
    def logit_at_equality(self) -> float:
        """The best logit at p = q; of a set of them, the middle."""
        one = torch.ones(1, dtype=torch.float64)
        return self.optimal_logit(one, one).item() if self.optimal_logit.name else 0.0

    def value(self, p: Tensor, q: Tensor) -> Tensor:
        """The value of the game at D*: minus the minimum of the discriminator's expected loss."""
        return self.divergence(p, q) + self.at_equality


def unproved(reason: str) -> Theory:
    """Of a loss about which nothing is claimed."""
    nothing = absent(f"this loss claims nothing: {reason}")
    return Theory(kind="none", divergence=nothing, optimal_logit=nothing, unique=False, descends=nothing, reason=reason)


LOG_RATIO = Functional("log p/q", lambda p, q: p.log() - q.log())
