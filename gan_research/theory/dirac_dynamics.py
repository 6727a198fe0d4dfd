"""Flow and gradient steps of a Dirac-GAN, and the verdict on where they lead."""

import math
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import SGD

from gan_research.losses.base import PLAYERS, Player
from gan_research.theory.dirac import COORDINATE
from gan_research.training.gan import OptimizerFactory
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError

STARTS = ((0.8, 0.6), (0.1, -0.05))
"""Starting states (theta, psi), far from and near the equilibrium: local and global convergence may differ."""

Verdict = Literal["converges", "converges sublinearly", "cycles", "diverges", "refused"]


class Dynamics(Protocol):
    """A field whose flow and gradient steps can be computed."""

    @property
    def stiffness(self) -> float:
        """Approximate largest rate of change in the field, per unit of time."""

    def field(self, states: Tensor) -> Tensor:
        """Return v at states (..., 2): (..., 2)."""

    def after_step(self, player: Player, states: Tensor) -> Tensor:
        """Apply the hooks that follow a step of `player` to states (..., 2)."""


def flow(dynamics: Dynamics, starts: Tensor, time: float = 50.0, steps: int | None = None) -> Tensor:
    """Integrate the field from starts (..., 2) by the classical Runge-Kutta method: (steps + 1, ..., 2).

    By default there are 10 steps per unit of time, or as many as the stiffness requires (at most 10000 in all). Once
    all states are at rest, the last one is repeated.
    """
    if steps is None:
        steps = min(math.ceil(time * max(10, dynamics.stiffness / 1.5)), 10_000)
    states, step = [starts.double()], time / steps
    for done in range(1, steps + 1):
        before = x = states[-1]
        k1 = dynamics.field(x)
        k2 = dynamics.field(x + step / 2 * k1)
        k3 = dynamics.field(x + step / 2 * k2)
        x = x + step / 6 * (k1 + 2 * (k2 + k3) + dynamics.field(x + step * k3))
        for player in PLAYERS:
            x = dynamics.after_step(player, x)
        states.append(x)
        if (x - before).abs().max() < 1e-12:
            states += [x] * (steps - done)
            break
    return torch.stack(states)


def gradient_steps(
    dynamics: Dynamics,
    starts: Tensor,
    rounds: int,
    schedule: Schedule | None = None,
    discriminator_optimizer: OptimizerFactory | None = None,
    generator_optimizer: OptimizerFactory | None = None,
) -> Tensor:
    """Train as `GAN` does from starts (..., 2), and return the states after each round, (rounds + 1, ..., 2).

    The default optimizer is SGD with lr=0.1. All starts share one, which must be elementwise, as SGD and Adam are.
    """
    schedule = schedule or Schedule()
    parameters = {
        player: nn.Parameter(starts.double()[..., at].clone(memory_format=torch.contiguous_format))
        for player, at in COORDINATE.items()
    }
    factories = {"discriminator": discriminator_optimizer, "generator": generator_optimizer}
    try:
        optimizers = {p: (factories[p] or gradient_descent(0.1))([parameters[p]]) for p in parameters}
    except ValueError as error:  # an invalid setting
        raise UserError(f"optimizer: {error}") from error

    def state() -> Tensor:
        return torch.stack([parameters[player].detach() for player in COORDINATE], -1)

    states = [state()]
    for round in range(rounds):
        for players in schedule.plan(round):
            field = dynamics.field(state())
            for player in players:
                parameters[player].grad = -field[..., COORDINATE[player]]
                optimizers[player].step()
            for player in players:
                after = dynamics.after_step(player, state())
                parameters[player].data.copy_(after[..., COORDINATE[player]])
        states.append(state())
    return torch.stack(states)


def gradient_descent(lr: float) -> OptimizerFactory:
    return lambda parameters: SGD(parameters, lr=lr, foreach=False)


def verdict(radii: Tensor, rate: float | None, far: float = 30.0, tolerance: float = 0.005) -> Verdict:
    """Judge the distances to the equilibrium (times, starts), given the linearisation's growth `rate`.

    `late` is the largest distance in the last quarter of the time, `earlier` in the third. The first that applies:
    diverges: a start went beyond `far`; or, where there is a rate, `late` exceeds every starting distance and, by more
        than the tolerance, `earlier`.
    converges: all came to within the tolerance times their starting distance; or the rate is negative and none grew.
    converges sublinearly: the rate is 0, and the distance still falls by more than the tolerance from `earlier` to
        `late`, for all starts.
    cycles: the rest, which stay bounded and don't settle: on an orbit through the start where the rate is 0; on a limit
        cycle where it is positive, or where there is no rate (the field isn't differentiable at the equilibrium).
    """
    radii = radii.nan_to_num(nan=math.inf)
    quarter = len(radii) // 4
    earlier, late = radii[2 * quarter : 3 * quarter].amax(0), radii[3 * quarter :].amax(0)
    grew = late > (1 + tolerance) * earlier
    if radii.max() > far or (rate is not None and (grew & (late > radii[0].max())).any()):
        return "diverges"
    if (radii[-1] < tolerance * radii[0]).all() or (rate is not None and rate < -1e-6 and not grew.any()):
        return "converges"
    still = rate is not None and abs(rate) <= 1e-6
    return "converges sublinearly" if still and (late < (1 - tolerance) * earlier).all() else "cycles"
