"""Known densities, with samples and an exact log-probability, to compare a model with."""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from statistics import NormalDist
from typing import ClassVar

import torch
from torch import Tensor

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.utils.errors import UserError, require, require_positive

TAIL = 1e-6  # the largest mass outside of a density's `bounds`

Bounds = tuple[tuple[float, float], ...]


class Density(Rebuildable, ABC):
    """A distribution over points of `dim` numbers, its density in closed form.

    A subclass defines `name`, `dim`, `bounds`, `sample` and `_log_prob`.
    """

    name: str
    dim: int
    bounds: Bounds  # a box, (low, high) for each dimension, with all but `TAIL` of the mass
    metrics: ClassVar[str] = "points"  # the choice of the config group `metrics` that suits its samples

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw samples: float32 (n, dim) on the generator's device, a function of the generator alone."""

    def log_prob(self, points: Tensor) -> Tensor:
        """Return the log-densities (N,) of points (N, dim) in nats, in their dtype; -inf outside of the support."""
        if points.shape[-1] != self.dim:
            raise ValueError(f"{self.name} is a density of points (N, {self.dim}), not {tuple(points.shape)}")
        return self._log_prob(points)

    @abstractmethod
    def _log_prob(self, points: Tensor) -> Tensor: ...


class GaussianMixture(Density):
    """A mixture of Gaussians, sum_k w_k N(m_k, diag(s_k^2)).

    `means` (K, dim), `stds` (K, dim) and `weights` (K,) are float64 on the CPU.

    std: one for all, one per component, or one per component and dimension.
    weights: relative weights of the components (None: all equal).
    """

    name = "gaussian_mixture"
    metrics = "modes"

    def __init__(
        self,
        means: Sequence[Sequence[float]],
        std: float | Sequence[float] | Sequence[Sequence[float]],
        weights: Sequence[float] | None = None,
    ) -> None:
        self.means = _table(means, "means")
        if self.means.dim() != 2 or not self.means.numel():
            raise UserError(f"means={means}: give a list of points, each a list of one number a dimension")
        components, self.dim = self.means.shape
        stds = _table(std, "std")
        stds = stds[:, None] if stds.shape == (components,) else stds
        if stds.shape not in ((), (components, 1), self.means.shape) or bool((stds <= 0).any()):
            raise UserError(f"std={std}: give one above 0 for all of the {components} means, or one for each")
        self.stds = stds.expand_as(self.means).contiguous()
        relative = torch.ones(components) if weights is None else _table(weights, "weights")
        if relative.shape != (components,) or bool((relative <= 0).any()):
            raise UserError(f"weights={weights}: give one above 0 for each of the {components} means")
        self.weights = relative.double() / relative.sum()
        # P(|x_i - m_i| > c s_i for any i) <= 2 dim Phi(-c) = TAIL, in each component
        margin = -NormalDist().inv_cdf(TAIL / (2 * self.dim)) * self.stds
        low, high = (self.means - margin).amin(0).tolist(), (self.means + margin).amax(0).tolist()
        self.bounds = tuple(zip(low, high, strict=True))
        self._copies: dict[torch.device, tuple[Tensor, Tensor, Tensor]] = {}

    def _on(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return means, stds and the K - 1 inner steps of the components' CDF: float32, copied once."""
        if device not in self._copies:
            means, stds, steps = (v.float().to(device) for v in (self.means, self.stds, self.weights.cumsum(0)[:-1]))
            self._copies[device] = means, stds, steps
        return self._copies[device]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        device = generator.device
        means, stds, steps = self._on(device)
        component = torch.searchsorted(steps, torch.rand(n, generator=generator, device=device), right=True)
        noise = torch.randn(n, self.dim, generator=generator, device=device)
        return torch.addcmul(means[component], stds[component], noise)

    def _log_prob(self, points: Tensor) -> Tensor:
        scale = self.weights.log() - self.stds.log().sum(1) - self.dim / 2 * math.log(2 * math.pi)
        distance = (points.unsqueeze(-2) - self.means.to(points)) / self.stds.to(points)
        return torch.logsumexp(scale.to(points) - distance.square().sum(-1) / 2, -1)


class Gaussian(GaussianMixture):
    """A Gaussian on the line, N(mean, std^2)."""

    name = "gaussian"
    metrics = "points"

    def __init__(self, mean: float = 1.0, std: float = 0.5) -> None:
        super().__init__([[mean]], std)


class Mixture1D(GaussianMixture):
    """Gaussians on the line."""

    name = "mixture_1d"

    def __init__(
        self,
        means: Sequence[float] = (-1.0, 1.0),
        std: float | Sequence[float] = 0.5,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__([[mean] for mean in means], std, weights)


class Ring(GaussianMixture):
    """Gaussians evenly spaced on a circle about 0 (Metz et al. 2017); the first is on the right."""

    name = "ring"

    def __init__(self, modes: int = 8, radius: float = 2.0, std: float = 0.02) -> None:
        require(1, modes=modes)
        angles = [2 * math.pi * k / modes for k in range(modes)]
        super().__init__([[radius * math.cos(a), radius * math.sin(a)] for a in angles], std)


class Grid(GaussianMixture):
    """side x side Gaussians, `spacing` apart, about 0 (as in PacGAN, Lin et al. 2018, section 4.1)."""

    name = "grid"

    def __init__(self, side: int = 5, spacing: float = 2.0, std: float = 0.05) -> None:
        require(1, side=side)
        ticks = [spacing * (i - (side - 1) / 2) for i in range(side)]
        super().__init__([list(point) for point in itertools.product(ticks, ticks)], std)


class SwissRoll(Density):
    """A blurred spiral, scale r (cos t, sin t) with r ~ N(t, std^2).

    t is uniform between `start` and `stop` turns, in radians. At a distance `scale` rho from 0 the density is a sum
    over all t that point there, forwards (r = rho) or backwards (r = -rho):
    sum_t N(r; t, std^2) / (rho (t_stop - t_start) scale^2), with 1 / (rho scale^2) from |d(x, y) / d(t, r)|. (The pole
    at 0 has almost no mass if the roll starts some std away.)
    """

    name = "swiss_roll"
    dim = 2

    def __init__(self, start: float = 0.75, stop: float = 2.25, std: float = 0.5, scale: float = 0.14) -> None:
        if not 0 <= start < stop < math.inf:
            raise UserError(f"start={start} and stop={stop}: give turns, 0 or more, the smaller number first")
        require_positive(std=std, scale=scale)
        self.start, self.stop, self.std, self.scale = 2 * math.pi * start, 2 * math.pi * stop, std, scale
        t = torch.linspace(self.start, self.stop, 4096, dtype=torch.float64)
        margin = -NormalDist().inv_cdf(TAIL / 2) * std
        edges = scale * torch.stack([t - margin, t + margin])[..., None] * torch.stack([t.cos(), t.sin()], 1)
        self.bounds = tuple(zip(edges.amin((0, 1)).tolist(), edges.amax((0, 1)).tolist(), strict=True))

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        t = self.start + (self.stop - self.start) * _uniform((n,), generator)
        r = torch.randn(n, generator=generator, device=generator.device).mul_(self.std).add_(t).mul_(self.scale)
        return torch.stack([r * t.cos(), r * t.sin()], 1)

    def _log_prob(self, points: Tensor) -> Tensor:
        x, y = (points / self.scale).unbind(-1)
        rho = torch.hypot(x, y).clamp_min(torch.finfo(points.dtype).tiny)
        first, last = math.floor(self.start / math.pi) - 1, math.ceil(self.stop / math.pi) + 1
        half_turns = torch.arange(first, last + 1, device=points.device)
        t = torch.atan2(y, x).unsqueeze(-1) + math.pi * half_turns
        r = torch.where(half_turns % 2 == 0, 1, -1) * rho.unsqueeze(-1)
        terms = ((r - t) / self.std).square() / -2
        terms = terms.masked_fill((t < self.start) | (t > self.stop), -math.inf)
        scale = math.log(math.sqrt(2 * math.pi) * self.std * (self.stop - self.start) * self.scale**2)
        return torch.logsumexp(terms, -1) - rho.log() - scale


class Checkerboard(Density):
    """Uniform on 8 of the 4 x 4 squares of [-half_width, half_width]^2: the diagonal x = y, then every other one."""

    name = "checkerboard"
    dim = 2

    def __init__(self, half_width: float = 2.0) -> None:
        require_positive(half_width=half_width)
        self.side = half_width / 2
        self.bounds = ((-half_width, half_width),) * 2

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        square = torch.randint(0, 8, (n,), generator=generator, device=generator.device)
        column = square // 2
        corner = torch.stack([column, square % 2 * 2 + column % 2], 1) - 2
        return (corner + _uniform((n, 2), generator)) * self.side

    def _log_prob(self, points: Tensor) -> Tensor:
        square = (points / self.side).floor()
        inside = ((square >= -2) & (square < 2)).all(-1) & (square.sum(-1) % 2 == 0)
        return torch.where(inside, -math.log(8 * self.side**2), -math.inf).to(points.dtype)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw from U(1e-6, 1 - 1e-6): rounding to float32 moves no sample out of the support."""
    return torch.rand(shape, generator=generator, device=generator.device).mul_(1 - 2e-6).add_(1e-6)


def _table(values: object, name: str) -> Tensor:
    try:
        table = torch.tensor(values, dtype=torch.float64)
    except (ValueError, TypeError, RuntimeError):
        raise UserError(f"{name}={values}: give numbers, and as many in each list") from None
    if not bool(torch.isfinite(table).all()):
        raise UserError(f"{name}={values} must be finite")
    return table
