"""The Dirac-GAN of Mescheder, Geiger & Nowozin 2018, "Which training methods for GANs do actually converge?".

p_data = delta_0, p_g = delta_theta, D(x) = psi * x + c, with c the loss's best logit at p = q: the least game in which
training can fail. Any loss and any regularisers of the project are studied as they are. A state is (theta, psi), the
equilibrium (0, 0), and both players together follow the field v = (-dL_G/dtheta, -dL_D/dpsi). All in float64.
"""

import cmath
import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD

from gan_research.augmentations import Augmentation
from gan_research.losses import AdversarialLoss, Player
from gan_research.networks.base import DOutput
from gan_research.regularizers import Progress, Regularizer, Step
from gan_research.sampling.priors import UniformPrior
from gan_research.theory.optimum import minimiser
from gan_research.theory.tape import Tape
from gan_research.training.checks import check_objective
from gan_research.training.gan import OptimizerFactory
from gan_research.training.minibatch import Minibatch
from gan_research.training.objective import Objective, Penalties
from gan_research.training.precision import Forward
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise, stream_seed

COORDINATE: dict[Player, int] = {"generator": 0, "discriminator": 1}
"""Which of (theta, psi) is whose."""

ANGLES = torch.arange(8, dtype=torch.float64) * math.pi / 4
DIRECTIONS = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
ORIGIN = torch.zeros(2, dtype=torch.float64)

STARTS = ((0.8, 0.6), (0.1, -0.05))
"""Far and near: what holds only around the equilibrium, or only away from it, shows in the difference."""

Verdict = Literal["converges", "converges sublinearly", "orbits", "does not settle", "diverges", "refused"]


@dataclass(frozen=True)
class Quadrature(Noise):
    """Noise without chance: the midpoint quantiles of `total` equal masses, whose mean is an expectation.

    Each purpose, and each column of it, has them in an order of its own (fixed, by the seed), so that different ones
    are independent. Normal ones are scaled to variance 1.
    """

    drawn: dict[tuple[str, str, tuple[int, ...]], Tensor] = field(default_factory=dict)
    """What was asked for so far."""

    def sample(self, purpose: str, sample: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return latents: of a generator that makes theta of any, they don't matter."""
        return torch.zeros(self.total, 1, dtype=torch.float64)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        return self._nodes("uniform", purpose, shape)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        return self._nodes("normal", purpose, shape)

    def _nodes(self, kind: str, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """(total, *shape)."""
        if (kind, purpose, shape) not in self.drawn:
            nodes = (torch.arange(self.total, dtype=torch.float64) + 0.5) / self.total
            if kind == "normal":
                nodes = torch.special.ndtri(nodes)
                nodes = nodes / nodes.square().mean().sqrt()
            orders = np.random.default_rng(stream_seed(self.seed, purpose))
            columns = [nodes[torch.from_numpy(orders.permutation(self.total))] for _ in range(math.prod(shape))]
            self.drawn[kind, purpose, shape] = torch.stack(columns, 1).reshape(self.total, *shape)
        return self.drawn[kind, purpose, shape]


class DiracObjective(Objective):
    """The objective on points of one dimension, with linear networks."""

    collects = False
    """Whether components collect statistics; not in the field, which is evaluated at many states."""

    def generate(self, latents: Tensor, condition: Any) -> Tensor:
        return self.networks["generator"](latents)

    def discriminate(self, images: Tensor, condition: Any) -> DOutput:
        return DOutput(self.networks["discriminator"](images).flatten(), images)

    def collect(self, step: Step, due: Penalties) -> None:
        if self.collects:
            super().collect(step, due)


class Dynamics(Protocol):
    """What can be integrated and played."""

    @property
    def stiffness(self) -> float:
        """About the largest rate of change in the field, per unit of time."""

    def field(self, states: Tensor) -> Tensor:
        """v at states (..., 2): (..., 2)."""

    def after_step(self, player: Player, states: Tensor) -> Tensor:
        """The states (..., 2) after what follows a step of that player."""


class DiracGAN:
    """The Dirac-GAN under one loss and any regularizers and augmentations, which are copied.

    Penalties count with the weight that they have on average, lazy ones too. Noise (instance noise, interpolation) is
    an expectation, by `nodes` quadrature nodes. State that a penalty keeps (LeCam's anchors) is held at what it
    becomes at the equilibrium. A regulariser that only acts after a step (weight clipping) has no part in the field,
    and is listed in `fieldless`: in the flow and in play it projects the states.

    Raises a UserError where a regulariser doesn't go with the loss.
    """

    def __init__(
        self,
        loss: AdversarialLoss,
        components: Mapping[str, Regularizer | Augmentation] | None = None,
        nodes: int = 256,
    ):
        self.loss = loss
        components = {name: copy.deepcopy(component).double() for name, component in (components or {}).items()}
        regularizers = {name: c for name, c in components.items() if isinstance(c, Regularizer)}
        augmentations = {name: c for name, c in components.items() if isinstance(c, Augmentation)}
        for regularizer in regularizers.values():
            regularizer.every = 1
        self.fieldless = [name for name, r in regularizers.items() if not r.players]
        self._projections = [regularizers[name] for name in self.fieldless]
        constant = torch.full((1,), best_constant(loss), dtype=torch.float64)
        self._networks: dict[Player, nn.Linear] = {
            player: nn.utils.skip_init(nn.Linear, 1, 1, dtype=torch.float64).requires_grad_(False)
            for player in COORDINATE
        }
        self._networks["generator"].weight.zero_()  # G(z) = 0 z + theta
        del self._networks["discriminator"].bias
        self._networks["discriminator"].register_buffer("bias", constant)
        g, d = self._networks["generator"], self._networks["discriminator"]
        forward = Forward(g, d, None, "64", torch.device("cpu"), compiled=False)
        prior = UniformPrior(1)
        self._objective = DiracObjective(forward, self._networks, loss, prior, regularizers, augmentations)
        check_objective(self._objective, fakes_per_real=1, accumulation=1)
        self._size(2)  # the least of which a standard deviation can be taken
        self._settle()
        self._tape = Tape(self._field_at, torch.tensor([0.3, -0.2], dtype=torch.float64))
        if self._noise.drawn:
            self._size(nodes)
            self._tape = Tape(self._field_at, self._tape.argument)
        try:
            self.field(DIRECTIONS)
        except RuntimeError as error:
            names = ", ".join([type(loss).__name__, *components])
            reason = "something in them asks tensors for their values (if, item()): write it with torch.where"
            raise UserError(f"the Dirac-GAN of {names} can't be studied, {reason}") from error

    # --- the field -----------------------------------------------------------------------------------------------

    def field(self, states: Tensor) -> Tensor:
        """v at states (..., 2): (..., 2)."""
        with torch.no_grad():
            at_once = max(1, 2**20 // len(self._reals.images))
            return torch.vmap(self._tape, chunk_size=at_once)(states.reshape(-1, 2)).reshape(states.shape)

    def _field_at(self, state: Tensor) -> Tensor:
        """v at one state (2,), by automatic differentiation of both players' losses, made as `GAN` makes them."""
        parameters = dict(zip(COORDINATE, self._bind(state), strict=True))
        uphill = [
            torch.autograd.grad(self._loss_of(player), parameter, materialize_grads=True)[0].flatten()
            for player, parameter in parameters.items()
        ]
        return -torch.cat(uphill)

    def _bind(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Make the state the networks' parameters."""
        theta, psi = (part.detach().requires_grad_() for part in (state[:1], state[1:, None]))
        self._networks["generator"]._parameters["bias"] = theta  # type: ignore[assignment]
        self._networks["discriminator"]._parameters["weight"] = psi  # type: ignore[assignment]
        return theta, psi

    def _loss_of(self, player: Player) -> Tensor:
        """Return the player's mean adversarial loss plus the weighted penalties."""
        first_update = dict.fromkeys(COORDINATE, 0)
        losses = self._objective.losses((player,), self._reals, self._noise, first_update, Progress.zeros())
        return next(losses)[1]

    def _size(self, samples: int) -> None:
        """Set the number of reals and fakes."""
        self._reals = Minibatch(torch.zeros(samples, 1, dtype=torch.float64), None)
        self._noise = Quadrature(seed=0, position=0, total=samples, start=0, stop=samples, dtype=torch.float64)

    def _settle(self) -> None:
        """Bring what regularizers remember to its fixed point at the equilibrium.

        Moving averages approach it geometrically, so that three values in a row a, b, c tell it (Aitken):
        c - (c - b)^2 / ((c - b) - (b - a)).
        """
        self._bind(ORIGIN)
        regularizers = [r for _, r in self._objective.penalties["discriminator"]]
        memory = [b for r in regularizers for b in r.buffers() if b.is_floating_point()]
        values = [[buffer.clone() for buffer in memory]]
        self._objective.collects = True
        for _ in range(2):
            self._loss_of("discriminator")
            for regularizer in regularizers:
                regularizer.after_step("discriminator", self._networks["discriminator"])
            values.append([buffer.clone() for buffer in memory])
        self._objective.collects = False
        for buffer, a, b, c in zip(memory, *values, strict=True):
            bend = (c - b) - (b - a)
            buffer.copy_(torch.where(bend == 0, c, c - (c - b).square() / bend))

    # --- around the equilibrium ----------------------------------------------------------------------------------

    @cached_property
    def at_rest(self) -> bool:
        """Whether v = 0 at (0, 0) at all."""
        return self.field(ORIGIN).abs().max().item() < 1e-9

    @cached_property
    def jacobian(self) -> Tensor:
        """dv / d(theta, psi) at (0, 0): (2, 2); only where `differentiable` does it mean anything."""
        return torch.autograd.functional.jacobian(self._tape, ORIGIN)

    @cached_property
    def differentiable(self) -> bool:
        """Whether the field has that derivative, by its definition: (v(e u) - v(0)) / e - J u -> 0 as e -> 0.

        Seen numerically along 8 directions u, from e = 1e-3 to 1e-4: far above the 1e-6 within which a gradient's norm
        is smoothed.
        """
        steps = torch.tensor([1e-3, 1e-4], dtype=torch.float64)[:, None, None]
        slopes = (self.field(steps * DIRECTIONS) - self.field(ORIGIN)) / steps
        off, finer = (slopes - DIRECTIONS @ self.jacobian.T).abs().amax((1, 2)).tolist()
        return finer <= max(1e-3 * max(1.0, self.jacobian.abs().max().item()), off / 2)

    @cached_property
    def jump(self) -> float:
        """The largest difference of v across (0, 0), from 1e-4 on one side to 1e-4 on the other."""
        return (self.field(1e-4 * DIRECTIONS) - self.field(-1e-4 * DIRECTIONS)).abs().max().item()

    @cached_property
    def eigenvalues(self) -> tuple[complex, complex] | None:
        """Of the Jacobian; None where the field isn't differentiable."""
        return eigenvalues(self.jacobian) if self.differentiable else None

    @property
    def rate(self) -> float | None:
        """The rate at which the linearised flow grows or shrinks: the larger real part."""
        return max(value.real for value in self.eigenvalues) if self.eigenvalues else None

    def played_rate(self, schedule: Schedule, lr: float) -> float | None:
        """The same for rounds of gradient steps, per unit of time (`lr` is a step's): log |largest eigenvalue| / lr."""
        if not self.differentiable:
            return None
        round = torch.eye(2, dtype=torch.float64)
        for players in schedule.plan(0):
            step = torch.zeros(2, 1, dtype=torch.float64)
            step[[COORDINATE[player] for player in players]] = lr
            round = round + step * (self.jacobian @ round)
        largest = max(abs(value) for value in eigenvalues(round))
        return math.log(largest) / lr if largest else -math.inf

    @cached_property
    def stiffness(self) -> float:
        around = torch.cat([0.1 * DIRECTIONS, DIRECTIONS])
        return ((self.field(1.01 * around) - self.field(around)).norm(dim=1) / (0.01 * around.norm(dim=1))).max().item()

    def after_step(self, player: Player, states: Tensor) -> Tensor:
        """The states (..., 2) after what follows a step of that player: each shown to the hooks as a network."""
        if not self._projections:
            return states
        states = states.clone()
        for state in states.view(-1, 2):
            parameters = self._bind(state)
            for regularizer in self._projections:
                regularizer.after_step(player, self._networks[player])
            state.copy_(torch.cat([part.detach().flatten() for part in parameters]))
        return states

    def notes(self) -> list[str]:
        """What is out of the ordinary."""
        found = [f"{name} has no field of its own: it projects after each step" for name in self.fieldless]
        if not self.at_rest:
            found.append("(0, 0) is no equilibrium")
        if not self.differentiable:
            how = f"the field jumps by {self.jump:.3g}" if self.jump > 1e-2 else "the field has a kink"
            found.append(f"not differentiable at (0, 0): {how}")
        return found


def best_constant(loss: AdversarialLoss) -> float:
    """The loss's best logit at p = q: as it declares, or found numerically where it declares nothing."""
    if loss.theory().kind != "none":
        return loss.theory().logit_at_equality
    return minimiser(lambda logits: loss.discriminator(logits, logits), 1).item()


def eigenvalues(matrix: Tensor) -> tuple[complex, complex]:
    """Of a (2, 2) matrix, t +- sqrt(t^2 - det) with t half its trace: exact at a double one, where `eig` loses half."""
    (a, b), (c, d) = matrix.tolist()
    half, root = (a + d) / 2, cmath.sqrt(((a - d) / 2) ** 2 + b * c)
    return half + root, half - root


# --- what the players do -----------------------------------------------------------------------------------------


def flow(dynamics: Dynamics, starts: Tensor, time: float = 50.0, steps: int | None = None) -> Tensor:
    """The continuous flow from starts (..., 2), by the classical Runge-Kutta method: (steps + 1, ..., 2).

    Unless given, there are 10 steps a unit of time, or as many as stiffness needs (at most 10000 in all). Once nothing
    moves any more, the rest of the time is filled with the last state.
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
        for player in get_args(Player):
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
    """What `GAN` would do from starts (..., 2): the states after each round, (rounds + 1, ..., 2).

    The optimizers are SGD with a rate of 0.1 unless given. All starts share one: it must treat elements apart, as SGD
    and Adam do.
    """
    schedule = schedule or Schedule()
    parameters = {
        player: nn.Parameter(starts.double()[..., at].clone(memory_format=torch.contiguous_format))
        for player, at in COORDINATE.items()
    }
    factories = {"discriminator": discriminator_optimizer, "generator": generator_optimizer}
    try:
        optimizers = {p: (factories[p] or gradient_descent(0.1))([parameters[p]]) for p in parameters}
    except ValueError as error:  # a setting that torch doesn't take
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
    """What came of the game, from the distances to the equilibrium (times, starts) and the linearisation's `rate`.

    `late` is the largest distance in the last quarter of the time, `earlier` in the third. In this order:
    diverges: a start went beyond `far`; or, where there is a rate, `late` exceeds every starting distance and, by more
        than the tolerance, `earlier`.
    converges: all came to within the tolerance times their starting distance; or the rate is negative and none grew.
    does not settle: there is no rate (the field isn't differentiable), or it is positive, yet all stay bounded; or
        some grew, though to less than the largest starting distance.
    converges sublinearly: the rate is 0, and the distance still falls by more than the tolerance from `earlier` to
        `late`, for all starts.
    orbits: the rate is 0, and some distance stays as it is.
    """
    radii = radii.nan_to_num(nan=math.inf)
    quarter = len(radii) // 4
    earlier, late = radii[2 * quarter : 3 * quarter].amax(0), radii[3 * quarter :].amax(0)
    grew = late > (1 + tolerance) * earlier
    if radii.max() > far or (rate is not None and (grew & (late > radii[0].max())).any()):
        return "diverges"
    if (radii[-1] < tolerance * radii[0]).all() or (rate is not None and rate < -1e-6 and not grew.any()):
        return "converges"
    if rate is None or rate > 1e-6 or grew.any():
        return "does not settle"
    return "converges sublinearly" if (late < (1 - tolerance) * earlier).all() else "orbits"
