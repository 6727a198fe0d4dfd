"""Exact p_g of generators from one latent to one dimension; histograms in two dimensions.

In one dimension the mass of a bin is a sum of differences of the prior's CDF between the latents where G crosses the
bin's edges, over all branches of G^-1. These masses always sum to 1, unlike a density evaluated on a grid, which is
infinite where G turns.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Binomial
from torch.nn.functional import pad

from gan_research.data.densities import Bounds, GaussianMixture
from gan_research.sampling.priors import Prior
from gan_research.utils.errors import UserError

TAIL = 1e-9  # the prior mass at either end where G is assumed to stay in its bin
FLAT = 1e-13  # the largest change of G between latents that is rounding, relative to max |G|
LEAST_ATOM = 1e-5  # the smallest prior mass of an atom; a smaller flat piece is a smooth turn
MOST_CELLS = 512  # the largest number of cells that a refinement divides, to limit the time


@dataclass(frozen=True)
class BinMasses:
    """Masses in the bins [e_i, e_i+1) of `edges` (B + 1,), all float64 on the CPU."""

    edges: Tensor
    masses: Tensor
    below: float
    above: float
    atoms: tuple[tuple[float, float], ...] = ()  # the (x, mass) of each constant piece of G, included in its bin too

    @property
    def centers(self) -> Tensor:
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def all(self) -> Tensor:
        """The masses below, in the bins and above (B + 2,), which sum to 1."""
        return torch.cat([self.masses.new_tensor([self.below]), self.masses, self.masses.new_tensor([self.above])])


@dataclass(frozen=True)
class Curve:
    """G on a fine grid: `values` (M,) at increasing `latents` (M,), and `call` for other latents."""

    prior: Prior
    call: Callable[[Tensor], Tensor]
    latents: Tensor
    values: Tensor
    atoms: tuple[tuple[float, float], ...]

    def crossings(self, levels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Find all crossings of the increasing `levels` (L,), in the order of latents.

        Returns the grid cell, the level's index, the latent and True where G rises, (C,) each.
        """
        under = torch.searchsorted(levels, self.values, right=True)  # how many levels are <= G
        steps = under.diff()
        counts = steps.abs()
        cell = torch.repeat_interleave(counts)
        nth = torch.arange(len(cell)) - (counts.cumsum(0) - counts)[cell]
        rises = steps[cell] > 0
        level = torch.where(rises, under[cell] + nth, under[cell] - 1 - nth)
        return cell, level, self._solve(cell, levels[level]), rises

    def _solve(self, cell: Tensor, targets: Tensor, steps: int = 20) -> Tensor:
        """Solve G(z) = target in each cell by the Illinois variant of regula falsi.

        One step is exact where G is affine in the cell; a kink takes a few more.
        """
        lo, hi, f_lo, f_hi = (t[i] for t in (self.latents, self.values) for i in (cell, cell + 1))
        f_lo, f_hi = f_lo - targets, f_hi - targets
        found, open_ = hi.clone(), torch.arange(len(cell))
        tolerance = FLAT * self.values.abs().max()
        for _ in range(steps):
            if not len(open_):
                break
            guess = hi - f_hi * (hi - lo) / (f_hi - f_lo)
            f = self.call(guess) - targets
            found[open_] = guess
            beyond = f * f_hi < 0
            lo, f_lo = torch.where(beyond, hi, lo), torch.where(beyond, f_hi, f_lo / 2)
            going = f.abs() > tolerance
            lo, hi, f_lo, f_hi, targets, open_ = (t[going] for t in (lo, guess, f_lo, f, targets, open_))
        return found


def bin_masses(generator: Callable[[Tensor], Tensor], prior: Prior, edges: Tensor) -> BinMasses:
    """Compute the masses of p_g in the bins between the increasing `edges` (B + 1,).

    `generator` maps latents (N, 1) to points (N, 1); a module is copied to float64 and eval mode. The error is about
    1e-7 per bin, and rounding in the sum, unless G turns twice within one of 8,000 cells.
    """
    curve, edges = trace(generator, prior), edges.detach().to("cpu", torch.float64)
    cell, level, latents, rises = curve.crossings(edges)
    # Breakpoints: each grid point, then the crossings in its cell; and the bin of G from there on.
    order = torch.cat([torch.arange(len(curve.latents)), cell]).argsort(stable=True)
    latents = torch.cat([curve.latents, latents])[order].cummax(0).values
    bins = torch.cat([torch.searchsorted(edges, curve.values, right=True), level + rises])[order]
    cdf = curve.prior.cdf(latents)
    cdf[0], cdf[-1] = 0.0, 1.0
    masses = torch.bincount(bins[:-1], cdf.diff(), minlength=len(edges) + 1)
    return BinMasses(edges, masses[1:-1], masses[0].item(), masses[-1].item(), curve.atoms)


def trace(generator: Callable[[Tensor], Tensor], prior: Prior, points: int = 4096) -> Curve:
    """Evaluate G on a grid of latents, refined where G turns."""
    if prior.latent_dim != 1:
        raise UserError(
            f"exact p_g needs one latent and a 1-D density, and prior.latent_dim={prior.latent_dim}: "
            "set prior.latent_dim=1 data=gaussian_1d"
        )
    with torch.no_grad():
        call = _frozen(generator)
        even = prior.quantile(torch.linspace(TAIL, 1 - TAIL, points, dtype=torch.float64))
        between = torch.linspace(0, 1, points + 1, dtype=torch.float64)
        latents = torch.cat([even, torch.lerp(even[0], even[-1], between)[1:-1]]).sort().values
        values = call(latents)
        if not values.isfinite().all():
            raise UserError("the generator's points aren't finite, so p_g is undefined: training has diverged")
        fractions = torch.arange(1, 32, dtype=torch.float64) / 32
        for _ in range(2):
            cells = _to_divide(prior, latents, values)
            new = torch.lerp(latents[cells, None], latents[cells + 1, None], fractions).flatten()
            latents, order = torch.cat([latents, new]).sort()
            values = torch.cat([values, call(new)])[order]
        return Curve(prior, call, latents, *_level(prior, latents, values))


def data_masses(log_prob: Callable[[Tensor], Tensor], edges: Tensor) -> BinMasses:
    """Integrate a smooth 1-D density over bins, given as log p of points (N, 1).

    Raises a UserError if the masses don't sum to 1: the density is finer than the bins, or not normalized.
    """
    edges = edges.detach().to("cpu", torch.float64)
    shares = torch.linspace(0, 1, math.ceil(2000 / (len(edges) - 1)) + 1, dtype=torch.float64)[:-1]
    panels = torch.cat([torch.lerp(edges[:-1, None], edges[1:, None], shares).flatten(), edges[-1:]])
    points, weights = gauss_legendre(panels)
    masses = _exp_log_prob(log_prob, points[:, None]).mul(weights).view(len(edges) - 1, -1).sum(1)
    # The tails: x = e -+ width u / (1 - u), u in [0, 1)
    u, weights = gauss_legendre(torch.linspace(0, 1, 129, dtype=torch.float64))
    width = edges[-1] - edges[0]
    far, weights = width * u / (1 - u), width * weights / (1 - u).square()
    below, above = (
        _exp_log_prob(log_prob, tail[:, None]).mul(weights).sum().item() for tail in (edges[0] - far, edges[-1] + far)
    )
    if abs((total := masses.sum().item() + below + above) - 1) > 1e-4:
        raise UserError(f"the density's bins sum to {total:.6g}, not 1: set more bins, or wider edges")
    return BinMasses(edges, masses, below, above)


def histogram_2d(points: Tensor, bounds: Bounds, bins: int) -> Tensor:
    """Return the shares of samples (N, 2) in even cells of `bounds`, an estimate of p_g.

    (bins^2 + 1,): the cells, row by row, and what is outside; the sum is 1.
    """
    points = points.detach().to("cpu", torch.float64)
    edges = [torch.linspace(*bound, bins + 1, dtype=torch.float64) for bound in bounds]
    x, y = (torch.searchsorted(edge, points[:, i].contiguous(), right=True) - 1 for i, edge in enumerate(edges))
    inside = (x >= 0) & (x < bins) & (y >= 0) & (y < bins)
    masses = torch.bincount((x * bins + y)[inside], minlength=bins**2).double() / len(points)
    return torch.cat([masses, 1 - inside.double().mean(0, keepdim=True)])


def data_masses_2d(log_prob: Callable[[Tensor], Tensor], bounds: Bounds, bins: int, order: int = 8) -> Tensor:
    """Integrate a 2-D density over the same cells, given as log p of points (N, 2).

    The quadrature is exact where p is smooth within cells; the total error is about 1e-4 if it jumps there.
    """
    edges = (torch.linspace(*bound, bins + 1, dtype=torch.float64) for bound in bounds)
    (x, wx), (y, wy) = (gauss_legendre(along, order) for along in edges)
    cells = _exp_log_prob(log_prob, torch.cartesian_prod(x, y)).view(len(x), len(y)) * torch.outer(wx, wy)
    masses = cells.view(bins, order, bins, order).sum((1, 3)).flatten()
    if (total := masses.sum(0, keepdim=True)) > 1 + 1e-4:
        raise UserError(f"the density's bins sum to {total.item():.6g}, more than 1: set more bins")
    return torch.cat([masses, (1 - total).clamp(min=0)])


def mixture_masses_2d(mixture: GaussianMixture, bounds: Bounds, bins: int) -> Tensor:
    """Compute the exact masses of a 2-D mixture of Gaussians in the same cells."""
    edges = torch.stack([torch.linspace(*bound, bins + 1, dtype=torch.float64) for bound in bounds], 1)
    z = (edges[:, None] - mixture.means) / mixture.stds  # (bins + 1, K, 2)
    x, y = torch.special.ndtr(z).diff(dim=0).unbind(2)
    cells = torch.einsum("k,ik,jk->ij", mixture.weights, x, y).flatten()
    return torch.cat([cells, 1 - cells.sum(0, keepdim=True)])


def expected_jsd(masses: Tensor, n: int, few: float = 60.0) -> float:
    """Return the expected JSD between `masses` and the frequencies of n samples from them.

    The JSD is a sum over bins with binomial counts: sum_i E[f(p_i, k_i / n)], k_i ~ B(n, p_i). For large n p_i, f is
    (k / n - p)^2 / (8 p), so that B full bins give (B - 1) / (8 n); mostly empty bins give less.
    """
    p = masses.flatten().double()
    p = p[p > 0, None]
    scarce = p[:, 0] * n <= few
    rest = (1 - p[~scarce]).sum() / (8 * n)
    p, k = p[scarce], torch.arange(int(few + 20 * few**0.5), dtype=torch.float64)  # 20 standard deviations
    k = k[k <= n]
    probability = Binomial(n, p).log_prob(k).exp()
    x, middle = k / n, (p + k / n) / 2
    f = (torch.xlogy(p, p / middle) + torch.xlogy(x, x / middle)) / 2
    return (rest + (probability * f).sum()).item()


def gauss_legendre(edges: Tensor, order: int = 8) -> tuple[Tensor, Tensor]:
    """Return points and weights (B order,) of quadrature in bins, exact to degree `2 order - 1`."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(order))
    half = edges.diff()[:, None] / 2
    return (edges[:-1, None] + half * (1 + nodes)).flatten(), (half * weights).flatten()


def _exp_log_prob(log_prob: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    with torch.no_grad():
        return log_prob(points).double().exp()


def _frozen(generator: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the generator as a float64 function from latents (N,) to points (N,)."""
    if isinstance(generator, nn.Module):
        generator = copy.deepcopy(generator).cpu().double().eval().requires_grad_(False)

    def call(latents: Tensor) -> Tensor:
        points = generator(latents[:, None])
        if points.numel() != len(latents):
            shape = "x".join(str(size) for size in points.shape[1:])
            raise UserError(
                f"exact p_g needs points of one dimension, and the generator returns {shape}: "
                "set prior.latent_dim=1 data=gaussian_1d"
            )
        return points.reshape(-1).double()

    return call


def _directions(values: Tensor) -> Tensor:
    """Return 1, -1 or 0 (M - 1,) where G rises, falls or is constant."""
    steps = values.diff()
    return steps.sign() * (steps.abs() > FLAT * values.abs().max())


def _to_divide(prior: Prior, latents: Tensor, values: Tensor) -> Tensor:
    """Return the cells on both sides of a change of direction; G may turn inside of either."""
    directions = _directions(values)
    changes = directions[1:] != directions[:-1]
    found = (pad(changes, (1, 0)) | pad(changes, (0, 1))).nonzero()[:, 0]
    if len(found) > MOST_CELLS:
        found = found[prior.cdf(latents).diff()[found].topk(MOST_CELLS).indices]
    return found


def _level(prior: Prior, latents: Tensor, values: Tensor) -> tuple[Tensor, tuple[tuple[float, float], ...]]:
    """Set each flat piece to a single value; return the values and the pieces as atoms."""
    flat = pad((_directions(values) == 0).int(), (1, 1))
    starts, ends = (flat.diff() == 1).nonzero()[:, 0], (flat.diff() == -1).nonzero()[:, 0]
    cdf = prior.cdf(latents)
    cdf[0], cdf[-1] = 0.0, 1.0
    values = values.clone()
    atoms: dict[float, float] = {}
    same = FLAT * values.abs().max().item()
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if (mass := (cdf[end] - cdf[start]).item()) >= LEAST_ATOM:
            x = values[start].item()
            x = next((other for other in atoms if abs(other - x) <= same), x)
            values[start : end + 1] = x
            atoms[x] = atoms.get(x, 0.0) + mass
    return values, tuple(sorted(atoms.items()))
