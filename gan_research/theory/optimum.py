"""The optimal discriminator for a fixed generator: Goodfellow et al. 2014, proposition 1 and theorem 1."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, logsigmoid

from gan_research.losses.base import AdversarialLoss, Separable
from gan_research.sampling.priors import Prior
from gan_research.theory.generator_density import bin_masses, gauss_legendre, trace
from gan_research.utils.errors import UserError

LogProb = Callable[[Tensor], Tensor]  # a function from points (N, 1) to log p (N,)


@dataclass(frozen=True)
class Maximum:
    """The curve a ln y + b ln(1 - y): `values` (N,) at `ys` (N,), and its maximum."""

    ys: Tensor
    values: Tensor
    found: float
    predicted: float  # the argmax a / (a + b); `found` is the numerical one


def proposition_1(a: float, b: float, points: int = 400) -> Maximum:
    """Maximize `a ln y + b ln(1 - y)` for a, b >= 0, not both 0 (proposition 1)."""
    if min(a, b) < 0 or a + b <= 0:
        raise UserError(f"a={a:g} b={b:g}: set masses of at least 0, not both 0")

    def curve(logits: Tensor) -> Tensor:
        return a * logsigmoid(logits) + b * logsigmoid(-logits)  # y = sigmoid(logit)

    ys = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    found = minimizer(lambda logits: -curve(logits), 1).sigmoid().item()
    return Maximum(ys, curve(ys.logit()), found, a / (a + b))


def pointwise_optimum(loss: AdversarialLoss, p: Tensor, q: Tensor) -> Tensor:
    """Minimize `p real_term + q fake_term` numerically, for densities or masses p, q (S,).

    Returns logits (S,); if they aren't unique, one of the optima.
    """
    loss, p, q = pointwise(loss), p.double(), q.double()
    return minimizer(lambda logits: p * loss.real_term(logits) + q * loss.fake_term(logits), len(p))


def value_at_optimum(loss: AdversarialLoss, p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Return `-(p real_term + q fake_term)` at D*, and its logits, for positive densities or masses."""
    loss = pointwise(loss)
    logits = loss.theory().optimal_logit(p, q)
    return -(p * loss.real_term(logits) + q * loss.fake_term(logits)), logits


def pointwise(loss: AdversarialLoss) -> Separable:
    """Return the loss if its D* is pointwise; raise a UserError otherwise."""
    kind = loss.theory().kind
    if kind == "pointwise" and isinstance(loss, Separable):
        return loss
    raise UserError(
        f"{type(loss).__name__} has no pointwise optimal logit, as its theory is of kind {kind}: "
        "choose a loss of kind pointwise, or use gan theory convergence"
    )


def minimizer(curve: Callable[[Tensor], Tensor], count: int, largest: float = 1e7, steps: int = 60) -> Tensor:
    """Minimize each column of `curve`, a function of logits (..., count): (count,) float64.

    Takes the best of a grid that is even in asinh(logit), then bisects on the sign of the derivative.
    """
    end = math.asinh(largest)
    grid = torch.linspace(-end, end, 2001, dtype=torch.float64).sinh()[:, None].expand(-1, count)
    with torch.no_grad():
        best = curve(grid).nan_to_num(nan=math.inf).argmin(0)
    low, high = grid[(best - 1).clamp(min=0), 0], grid[(best + 1).clamp(max=2000), 0]
    for _ in range(steps):
        middle = ((low + high) / 2).requires_grad_()
        (slope,) = torch.autograd.grad(curve(middle).sum(), middle)
        middle = middle.detach()
        low, high = torch.where(slope <= 0, middle, low), torch.where(slope >= 0, middle, high)
    return (low + high) / 2


def value(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return `V(D, G) = mean log D(x) + mean log(1 - D(G(z)))` (equation 1), D = sigmoid(logit)."""
    return logsigmoid(real_logits).mean() + logsigmoid(-fake_logits).mean()


def value_from_cross_entropy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Return V as -2 times the mean cross-entropy of reals (1) and fakes (0)."""
    if len(real_logits) != len(fake_logits):
        raise UserError(f"{len(real_logits)} real and {len(fake_logits)} fake logits: equal numbers are required")
    labels = torch.cat([torch.ones_like(real_logits), torch.zeros_like(fake_logits)])
    return -2 * binary_cross_entropy_with_logits(torch.cat([real_logits, fake_logits]), labels)


def value_of_densities(p: LogProb, q: LogProb, bounds: tuple[float, float], panels: int = 2000) -> tuple[float, float]:
    """Integrate V(D*, G) and the JSD of 1-D densities log p and log q over `bounds`."""
    points, weights = gauss_legendre(torch.linspace(*bounds, panels + 1, dtype=torch.float64))
    log_p, log_q = p(points[:, None]).double(), q(points[:, None]).double()
    logit = log_p - log_q  # D* = p / (p + q)
    integrand = log_p.exp() * logsigmoid(logit) + log_q.exp() * logsigmoid(-logit)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    kl_p, kl_q = (f.exp() * (f - log_m) for f in (log_p, log_q))
    present = (log_p > -math.inf) & (log_q > -math.inf)  # elsewhere: log D* = 0 and KL's integrand is p log 2
    one_sided = (log_p.exp() + log_q.exp()) * math.log(2)
    value = (weights * torch.where(present, integrand, 0.0)).sum().item()
    return value, (weights * torch.where(present, kl_p + kl_q, one_sided)).sum().item() / 2


def unconscious_statistician(
    generator: Callable[[Tensor], Tensor], prior: Prior, f: Callable[[Tensor], Tensor], edges: Tensor
) -> tuple[float, float]:
    """Return `E f(G(z))` over the prior and `E f(x)` over p_g, which are equal (equation 3).

    The first is a quadrature in z; the second uses the exact masses of p_g in bins that contain all of it, with f at
    their centers: its error is at most max |f'| width / 2, and mostly much less. f maps (N,) to (N,).
    """
    curve = trace(generator, prior)
    latents, weights = gauss_legendre(curve.latents, order=3)
    with torch.no_grad():
        over_latents = (weights * prior.log_prob(latents).exp() * f(curve.call(latents))).sum().item()
    bins = bin_masses(generator, prior, edges)
    if (outside := bins.below + bins.above) > 1e-6:
        raise UserError(f"{outside:.2g} of p_g is outside of the bins: widen the edges")
    return over_latents, (bins.masses * f(bins.centers)).sum().item()
