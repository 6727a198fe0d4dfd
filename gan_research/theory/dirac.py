"""The Dirac-GAN of Mescheder, Geiger & Nowozin 2018.

"Which training methods for GANs do actually converge?": p_data = delta_0, p_g = delta_theta and D(x) = psi * x + c,
with c the loss's best logit at p = q. It is the smallest game in which training can fail. Any loss, regularizer and
augmentation of the project can be studied as it is. A state is (theta, psi), the equilibrium (0, 0), and both players
follow the field v = (-dL_G/dtheta, -dL_D/dpsi). All tensors are float64.
"""

import cmath
import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from gan_research.augmentations import Augmentation
from gan_research.losses import AdversarialLoss, Player
from gan_research.networks.base import DOutput
from gan_research.regularizers import Progress, Regularizer, Step
from gan_research.sampling.priors import UniformPrior
from gan_research.theory.optimum import minimizer
from gan_research.training.checks import check_objective
from gan_research.training.minibatch import Minibatch
from gan_research.training.objective import Objective, Penalties
from gan_research.training.precision import Forward
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise, stream_seed

Component = Regularizer | Augmentation

COORDINATE: dict[Player, int] = {"generator": 0, "discriminator": 1}
"""The index of each player's parameter in (theta, psi)."""

ANGLES = torch.arange(8, dtype=torch.float64) * math.pi / 4
DIRECTIONS = torch.stack([ANGLES.cos(), ANGLES.sin()], 1)
ORIGIN = torch.zeros(2, dtype=torch.float64)


@dataclass(frozen=True)
class Quadrature(Noise):
    """Deterministic noise: midpoint quantiles of `total` equal masses, whose mean is an expectation.

    They are permuted for each purpose and each of its columns, with a fixed seed, so that these are independent. Normal
    ones are scaled to variance 1.
    """

    drawn: dict[tuple[str, str, tuple[int, ...]], Tensor] = field(default_factory=dict)

    def sample(self, purpose: str, sample: Callable[[int, torch.Generator], Tensor]) -> Tensor:
        """Return zeros as latents: the generator returns theta for any latent."""
        return torch.zeros(self.total, 1, dtype=torch.float64)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        return self._nodes("uniform", purpose, shape)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        return self._nodes("normal", purpose, shape)

    def _nodes(self, kind: str, purpose: str, shape: tuple[int, ...]) -> Tensor:
        """Return nodes (total, *shape)."""
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

    collects = False  # True while statistics are collected; the field is evaluated without

    def generate(self, latents: Tensor, condition: Any) -> Tensor:
        return self.networks["generator"](latents)

    def discriminate(self, images: Tensor, condition: Any, **info: Tensor) -> DOutput:
        return DOutput(self.networks["discriminator"](images).flatten(), images)

    def collect(self, step: Step, due: Penalties, own_step: bool = False) -> None:
        if self.collects:
            super().collect(step, due, own_step)


class DiracGAN:
    """The Dirac-GAN with one loss and any regularizers and augmentations, which are copied.

    Lazy penalties, also those in a step of their own, have the weight that they have on average. Noise (instance noise,
    interpolation) is replaced by its expectation, by `nodes` quadrature nodes. The state of a penalty (LeCam's anchors)
    is fixed at its limit at the equilibrium. A regularizer that only acts after a step (weight clipping) isn't part of
    the field: it is listed in `projections`, and projects the states of the flow and of gradient steps.

    Raises a UserError where a regularizer doesn't support the loss.
    """

    def __init__(self, loss: AdversarialLoss, components: Mapping[str, Component] | None = None, nodes: int = 256):
        components = {name: copy.deepcopy(component).double() for name, component in (components or {}).items()}
        regularizers = {name: c for name, c in components.items() if isinstance(c, Regularizer)}
        augmentations = {name: c for name, c in components.items() if isinstance(c, Augmentation)}
        for regularizer in regularizers.values():
            regularizer.every, regularizer.own_step = 1, False
        self.projections = {name: r for name, r in regularizers.items() if not r.players}
        g, d = (nn.utils.skip_init(nn.Linear, 1, 1, dtype=torch.float64).requires_grad_(False) for _ in range(2))
        g.weight.zero_()  # G(z) = 0 z + theta
        del d.bias
        d.register_buffer("bias", torch.full((1,), best_constant(loss), dtype=torch.float64))
        self._networks: dict[Player, nn.Linear] = {"generator": g, "discriminator": d}
        forward = Forward(g, d, None, "64", torch.device("cpu"), compiled=False)
        self._objective = DiracObjective(forward, self._networks, loss, UniformPrior(1), regularizers, augmentations)
        check_objective(self._objective, fakes_per_real=1, accumulation=1)
        self._set_batch_size(2)  # the smallest that has a standard deviation
        self._settle()
        self._field_at(ORIGIN)
        if self._noise.drawn:
            self._set_batch_size(nodes)
        try:
            self._graph = self._record()
        except RuntimeError as error:
            names = ", ".join([type(loss).__name__, *components])
            reason = "one of them reads the value of a tensor (if, item()): use torch.where"
            raise UserError(f"the Dirac-GAN of {names} can't be studied, as {reason}") from error

    def field(self, states: Tensor) -> Tensor:
        """Return v at states (..., 2): (..., 2)."""
        with torch.no_grad():
            chunk_size = max(1, 2**20 // len(self._reals.images))
            return torch.vmap(self._graph, chunk_size=chunk_size)(states.reshape(-1, 2)).reshape(states.shape)

    def _record(self) -> Callable[[Tensor], Tensor]:
        """Record `_field_at` as a graph of tensor operations.

        Unlike the function, the graph can be batched by vmap, and differentiated through what the function detaches.
        """
        graph = make_fx(lambda state: self._field_at(state))(torch.tensor([0.3, -0.2], dtype=torch.float64))
        for node in graph.graph.find_nodes(op="call_function", target=torch.ops.aten.detach.default):
            node.target = torch.ops.aten.alias.default
        graph.recompile()
        return graph

    def _field_at(self, state: Tensor) -> Tensor:
        """Return v at one state (2,), from the gradients of both players' losses."""
        parameters = dict(zip(COORDINATE, self._bind(state), strict=True))
        gradients = [
            torch.autograd.grad(self._loss_of(player), parameter, materialize_grads=True)[0].flatten()
            for player, parameter in parameters.items()
        ]
        return -torch.cat(gradients)

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

    def _set_batch_size(self, samples: int) -> None:
        self._reals = Minibatch(torch.zeros(samples, 1, dtype=torch.float64), None)
        self._noise = Quadrature(seed=0, position=0, total=samples, start=0, stop=samples, dtype=torch.float64)

    def _settle(self) -> None:
        """Set the regularizers' buffers to their fixed point at the equilibrium.

        Moving averages approach it geometrically, so that it follows from three successive values a, b, c (Aitken):
        c - (c - b)^2 / ((c - b) - (b - a)).
        """
        self._bind(ORIGIN)
        regularizers = [r for _, r in self._objective.penalties["discriminator"]]
        buffers = [b for r in regularizers for b in r.buffers() if b.is_floating_point()]
        for counter in (b for r in regularizers for b in r.buffers() if not b.is_floating_point()):
            counter.fill_(2**62)  # updates so far
        values = [[buffer.clone() for buffer in buffers]]
        self._objective.collects = True
        for _ in range(2):
            self._loss_of("discriminator")
            for regularizer in regularizers:
                regularizer.after_step("discriminator", self._networks["discriminator"])
            values.append([buffer.clone() for buffer in buffers])
        self._objective.collects = False
        for buffer, a, b, c in zip(buffers, *values, strict=True):
            bend = (c - b) - (b - a)
            buffer.copy_(torch.where(bend == 0, c, c - (c - b).square() / bend))

    @cached_property
    def at_rest(self) -> bool:
        """True if v = 0 at (0, 0)."""
        return self.field(ORIGIN).abs().max().item() < 1e-9

    @cached_property
    def jacobian(self) -> Tensor:
        """The derivative dv / d(theta, psi) at (0, 0): (2, 2); meaningless unless `differentiable`."""
        return torch.autograd.functional.jacobian(self._graph, ORIGIN)

    @cached_property
    def differentiable(self) -> bool:
        """True if the field has that derivative J.

        That is, (v(e u) - v(0)) / e - J u -> 0 as e -> 0, tested along 8 directions u, from e = 1e-3 to 1e-4: far above
        the 1e-6 within which a gradient's norm is smoothed.
        """
        steps = torch.tensor([1e-3, 1e-4], dtype=torch.float64)[:, None, None]
        slopes = (self.field(steps * DIRECTIONS) - self.field(ORIGIN)) / steps
        coarse, fine = (slopes - DIRECTIONS @ self.jacobian.T).abs().amax((1, 2)).tolist()
        return fine <= max(1e-3 * max(1.0, self.jacobian.abs().max().item()), coarse / 2)

    @cached_property
    def jump(self) -> float:
        """The largest difference of v across (0, 0), between points at distance 1e-4."""
        return (self.field(1e-4 * DIRECTIONS) - self.field(-1e-4 * DIRECTIONS)).abs().max().item()

    @cached_property
    def eigenvalues(self) -> tuple[complex, complex] | None:
        """The eigenvalues of the Jacobian; None where the field isn't differentiable."""
        return eigenvalues(self.jacobian) if self.differentiable else None

    @property
    def rate(self) -> float | None:
        """The growth rate of the linearised flow: the larger real part of the eigenvalues."""
        return max(value.real for value in self.eigenvalues) if self.eigenvalues else None

    def step_rate(self, schedule: Schedule, lr: float) -> float | None:
        """Return the growth rate of gradient steps, which take time `lr`: log |largest eigenvalue| / lr."""
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
        """Return the states (..., 2) after the hooks of `projections`, which see each as networks."""
        if not self.projections:
            return states
        states = states.clone()
        for state in states.view(-1, 2):
            parameters = self._bind(state)
            for regularizer in self.projections.values():
                regularizer.after_step(player, self._networks[player])
            state.copy_(torch.cat([part.detach().flatten() for part in parameters]))
        return states

    def notes(self) -> list[str]:
        """Return warnings about the game's analysis."""
        found = [f"{name} has no field of its own: it projects after each step" for name in self.projections]
        if not self.at_rest:
            found.append("(0, 0) is no equilibrium")
        if not self.differentiable:
            how = f"the field jumps by {self.jump:.3g}" if self.jump > 1e-2 else "the field has a kink"
            found.append(f"not differentiable at (0, 0): {how}")
        return found


def best_constant(loss: AdversarialLoss) -> float:
    """Return the loss's best logit at p = q: the declared one, or else a numerical optimum."""
    if loss.theory().kind != "none":
        return loss.theory().logit_at_equality
    return minimizer(lambda logits: loss.discriminator(logits, logits), 1).item()


def eigenvalues(matrix: Tensor) -> tuple[complex, complex]:
    """Return the eigenvalues of a (2, 2) matrix: exact where they are equal, as `eig` isn't."""
    (a, b), (c, d) = matrix.tolist()
    half, root = (a + d) / 2, cmath.sqrt(((a - d) / 2) ** 2 + b * c)
    return half + root, half - root
