"""The value of the game as a function of two parameters, with its saddle: two Gaussians and the discriminators between.

p_data is N(0, 1), and p_g of the generator theta is N(theta, 1). The discriminator phi is the optimal one against
N(phi, 1), so that D* is phi = theta: V(D*, G) is the loss's divergence plus its value at equality. For cross-entropy
the logit is -phi x + phi^2 / 2, and V = -log 4 + phi theta / 2 - phi^2 / 4 + ... around the equilibrium (0, 0).
A state is (theta, phi). All integrals are quadratures with an error below 1e-9 for |theta|, |phi| <= 3.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.functional import hessian, jacobian

from gan_research.losses.base import AdversarialLoss, Player
from gan_research.theory.generator_density import gauss_legendre
from gan_research.theory.optimum import pointwise
from gan_research.utils.errors import UserError


class Location:
    """The game of a loss whose optimal discriminator is pointwise and unique; others raise a UserError."""

    stiffness = 1.0  # about the largest rate of change of the field

    def __init__(self, loss: AdversarialLoss):
        self.loss, theory = pointwise(loss), loss.theory()
        if not theory.unique:
            raise UserError(f"{type(loss).__name__} has no unique D*: choose a loss that has one, such as minimax")
        self.optimal_logit = theory.optimal_logit
        self.points, self.weights = gauss_legendre(torch.linspace(-11, 11, 23, dtype=torch.float64))

    def density(self, means: Tensor) -> Tensor:
        """Return the densities of N(mean, 1) at the nodes: (..., nodes)."""
        return (-(self.points - means[..., None]).square() / 2).exp() / (2 * math.pi) ** 0.5

    def value(self, states: Tensor) -> Tensor:
        """Return V(D, G), minus D's expected loss, at states (..., 2)."""
        theta, phi = states.unbind(-1)
        real = self.density(torch.zeros_like(theta))
        logits = self.optimal_logit(real, self.density(phi))
        terms = real * self.loss.real_term(logits) + self.density(theta) * self.loss.fake_term(logits)
        return -terms @ self.weights

    def field(self, states: Tensor) -> Tensor:
        """Return each player's negative gradient in its own parameter at states (..., 2)."""
        theta, phi = (part.detach().requires_grad_() for part in states.unbind(-1))
        real = self.density(torch.zeros_like(theta))
        logits = self.optimal_logit(real, self.density(phi))
        loss = -self.value(torch.stack([theta.detach(), phi], -1))
        loss = loss + self.density(theta) * self.loss.generator(logits.detach()) @ self.weights
        return -torch.stack(torch.autograd.grad(loss.sum(), (theta, phi)), -1)

    def after_step(self, player: Player, states: Tensor) -> Tensor:
        return states


@dataclass(frozen=True)
class Saddle:
    """A stationary point of the value (theta, phi), and the curvature there."""

    state: Tensor  # (2,)
    value: float
    slope: float  # the norm of the gradient
    hessian: Tensor  # (2, 2), in (theta, phi)

    @property
    def curvatures(self) -> tuple[float, float]:
        """The eigenvalues of the Hessian, in increasing order: of opposite signs at a saddle."""
        low, high = torch.linalg.eigvalsh(self.hessian).tolist()
        return low, high


def find_saddle(game: Location, start: tuple[float, float] = (0.3, -0.2), steps: int = 20) -> Saddle:
    """Find a stationary point of the value by Newton's method."""
    state = torch.tensor(start, dtype=torch.float64)
    for _ in range(steps):
        state = state - torch.linalg.solve(hessian(game.value, state), jacobian(game.value, state))
    slope = jacobian(game.value, state).norm().item()
    return Saddle(state, game.value(state).item(), slope, hessian(game.value, state))
