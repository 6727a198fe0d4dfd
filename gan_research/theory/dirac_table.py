"""The convergence of Dirac-GANs for all pairs of losses and regularizers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gan_research.losses import AdversarialLoss, Player
from gan_research.theory.dirac import Component, DiracGAN
from gan_research.theory.dirac_dynamics import STARTS, Verdict, flow, gradient_descent, gradient_steps, verdict
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError

Pair = tuple[str, str]  # the names of a loss and of a regularizer

WAYS = ("flow", "simultaneous", "alternating")  # the dynamics that are judged: the flow, and both kinds of steps

CODES: dict[Verdict, str] = {
    "converges": "c",
    "converges sublinearly": "s",
    "cycles": "o",
    "diverges": "d",
    "refused": "-",
}  # the letter of each verdict

STIFF = 25.0  # the stiffness above which games of a table are integrated separately


class Tabulated:
    """The interpolated fields of P Dirac-GANs, which are integrated together: states (P, S, 2).

    Each has a grid of 2 * half + 1 lines each way at spread * sinh(u), u evenly spaced: dense around (0, 0), and out to
    `far`, beyond which the field is 0. Interpolation is cubic, which moves a path by about 1e-5 in 50 units of time; a
    jump is blurred over a cell or two, 0.05 wide at (0, 0).
    """

    def __init__(self, games: Sequence[DiracGAN], half: int = 48, far: float = 30.0, spread: float = 0.5):
        self.games, self.half, self.far, self.spread = games, half, far, spread
        self.spacing = math.asinh(far / spread) / half
        self.stiffness = max(game.stiffness for game in games)
        lines = spread * (self.spacing * torch.arange(-half, half + 1, dtype=torch.float64)).sinh()
        nodes = torch.stack(torch.meshgrid(lines, lines, indexing="ij"), -1)
        values = torch.stack([game.field(nodes) for game in games])
        self.values = values.nan_to_num().clamp(-1e6, 1e6).flatten(0, 2)  # (P * lines * lines, 2)

    def field(self, states: Tensor) -> Tensor:
        lines = 2 * self.half + 1
        at = (states.clamp(-self.far, self.far) / self.spread).asinh() / self.spacing + self.half
        first = at.floor().clamp(1, lines - 3)  # the second of the 4 nodes
        t = (at - first)[..., None]
        u, v, w = t + 1, t - 1, t - 2  # Lagrange's polynomials of the nodes -1, 0, 1, 2:
        weights = torch.cat([-t * v * w / 6, u * v * w / 2, -u * t * w / 2, t * (t * t - 1) / 6], -1)
        near = first.long()[..., None] + torch.arange(-1, 3)  # (P, S, 2, 4)
        which = torch.arange(len(self.games))[:, None, None] * lines + near[..., 0, :]
        values = self.values[which[..., :, None] * lines + near[..., 1, None, :]]  # (P, S, 4, 4, 2)
        inner = (weights[..., 1, None, :, None] * values).sum(-2)
        inside = (states.abs() <= self.far).all(-1, keepdim=True)
        return (weights[..., 0, :, None] * inner).sum(-2) * inside

    def after_step(self, player: Player, states: Tensor) -> Tensor:
        for number, game in enumerate(self.games):
            if game.projections:
                after = game.after_step(player, states[number, None])
                states = torch.cat([states[:number], after, states[number + 1 :]])
        return states


@dataclass(frozen=True)
class Row:
    """A pair of the table; `radii` are the first start's final distances (flow, simultaneous, alternating)."""

    loss: str
    regularizer: str
    eigenvalues: tuple[complex, complex] | None
    flow: Verdict
    simultaneous: Verdict
    alternating: Verdict
    radii: tuple[float, float, float] | None
    notes: tuple[str, ...] = ()


def table(
    losses: Mapping[str, AdversarialLoss],
    components: Mapping[str, Mapping[str, Component]],
    starts: Sequence[tuple[float, float]] = STARTS,
    time: float = 50.0,
    lr: float = 0.1,
    nodes: int = 32,
) -> list[Row]:
    """Judge all pairs of losses and components by flow and gradient steps.

    Pairs that a component doesn't support are "refused". The fields are `Tabulated`.
    """
    games: dict[Pair, DiracGAN] = {}
    rows: dict[Pair, Row] = {}
    for pair in ((loss, regularizer) for loss in losses for regularizer in components):
        try:
            games[pair] = DiracGAN(losses[pair[0]], components[pair[1]], nodes)
        except UserError as error:
            rows[pair] = Row(*pair, None, "refused", "refused", "refused", None, (str(error),))
    for stiff in (False, True):  # separately, as the stiffest game determines the step for all
        if alike := {pair: game for pair, game in games.items() if (game.stiffness > STIFF) is stiff}:
            rows |= rows_of(alike, torch.tensor(starts, dtype=torch.float64), time, lr)
    return [rows[loss, regularizer] for loss in losses for regularizer in components]


def rows_of(games: Mapping[Pair, DiracGAN], starts: Tensor, time: float, lr: float) -> dict[Pair, Row]:
    """Return the rows of these games."""
    dynamics = Tabulated(list(games.values()))
    states = starts.expand(len(games), -1, -1)
    descent = gradient_descent(lr)
    schedules = [Schedule(updates="simultaneous"), Schedule(updates="alternating")]
    paths = [flow(dynamics, states, time)]
    paths += [gradient_steps(dynamics, states, round(time / lr), s, descent, descent) for s in schedules]
    radii = [path.norm(dim=-1) for path in paths]
    rows = {}
    for number, (pair, game) in enumerate(games.items()):
        rates = [game.rate, *(game.step_rate(schedule, lr) for schedule in schedules)]
        flowing, simultaneous, alternating = (
            verdict(r[:, number], rate, dynamics.far) for r, rate in zip(radii, rates, strict=True)
        )
        last = [r[-1, number, 0].nan_to_num(nan=dynamics.far).clamp(max=dynamics.far).item() for r in radii]
        finals = (last[0], last[1], last[2])
        rows[pair] = Row(*pair, game.eigenvalues, flowing, simultaneous, alternating, finals, tuple(game.notes()))
    return rows


def matrix(rows: Sequence[Row]) -> str:
    """Return the verdicts as text: a loss a line, a regularizer a column, named by steps above it.

    A cell has the letters of flow, simultaneous and alternating steps.
    """
    cells = {(row.loss, row.regularizer): "".join(CODES[getattr(row, way)] for way in WAYS) for row in rows}
    losses, regularizers = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    indent = " " * (max(map(len, losses)) + 2)
    lines = [indent + "|   " * column + name for column, name in enumerate(regularizers)]
    lines += [f"{loss:<{len(indent)}}" + " ".join(cells[loss, name] for name in regularizers) for loss in losses]
    letters = ", ".join(f"{code} {verdict}" for verdict, code in CODES.items())
    return "\n".join([*lines, "", f"Each cell: {', '.join(WAYS)}.", f"Letters: {letters}."])
