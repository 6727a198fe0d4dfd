"""The best discriminator for a fixed generator: Goodfellow et al. 2014, proposition 1 and theorem 1, in numbers."""

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

LogProb = Callable[[Tensor], Tensor]
"""log p of points (N, 1) -> (N,)."""


@dataclass(frozen=True)
class Maximum:
    """The curve a ln y + b ln(1 - y): `values` (N,) at the probabilities `ys` (N,), and where it is largest."""

    ys: Tensor
    values: Tensor
    found: float
    predicted: float
    """a / (a + b)."""


@dataclass(frozen=True)
class GameValue:
    """V(D*, G) for two densities, and what theorem 1 says that it is, each by a quadrature of its own integrand."""

    value: float
    jsd: float

    @property
    def predicted(self) -> float:
        return 2 * self.jsd - math.log(4)


def proposition_1(a: float, b: float, points: int = 400) -> Maximum:
    """The step of proposition 1: for a, b >= 0, not both 0, a ln y + b ln(1 - y) is largest at y = a / (a + b)."""
    if min(a, b) < 0 or a + b <= 0:
        raise UserError(f"a={a:g} b={b:g}: give masses of at least 0, not both 0")

    def curve(logits: Tensor) -> Tensor:
        return a * logsigmoid(logits) + b * logsigmoid(-logits)  # y = sigmoid(logit)

    ys = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    found = minimiser(lambda logits: -curve(logits), 1).sigmoid().item()
    return Maximum(ys, curve(ys.logit()), found, a / (a + b))


def pointwise_optimum(loss: AdversarialLoss, p: Tensor, q: Tensor) -> Tensor:
    """The logits (S,) that minimise p real_term + q fake_term, found numerically, for densities or masses p, q (S,).

    Where several are as good (`theory().unique` is false) it is one of them.
    """
    real_term, fake_term = _terms(loss)
    p, q = p.double(), q.double()
    return minimiser(lambda logits: p * real_term(logits) + q * fake_term(logits), len(p))


def expected_loss_curve(loss: AdversarialLoss, p: float, q: float, logits: Tensor) -> Tensor:
    """What D pays at a point of densities p and q, p real_term + q fake_term, for each of the logits (N,)."""
    real_term, fake_term = _terms(loss)
    return p * real_term(logits) + q * fake_term(logits)


def _terms(loss: AdversarialLoss) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    kind = loss.theory().kind
    if kind != "pointwise" or not isinstance(loss, Separable):
        raise UserError(
            f"{type(loss).__name__} has no best logit point by point, as its theory is of kind {kind}: "
            "take a loss of kind pointwise here, or see this one on whole distributions (convergence)"
        )
    return loss.real_term, loss.fake_term


def minimiser(curve: Callable[[Tensor], Tensor], count: int, largest: float = 1e7, steps: int = 60) -> Tensor:
    """Where `curve`, (..., count) logits to their values, is least for each of `count` columns: (count,) float64.

    The best of a grid that is even in asinh(logit), then bisection on the sign of the derivative, by autograd.
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
    """V(D, G) = mean log D(x) + mean log(1 - D(G(z))), equation 1, over samples; D = sigmoid(logit)."""
    return logsigmoid(real_logits).mean() + logsigmoid(-fake_logits).mean()


def value_from_cross_entropy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """V as minus twice torch's mean binary cross-entropy of a batch, half real (label 1) and half fake (label 0).

    D is a classifier of real against fake, and at its best where that is best trained. UserError for unequal halves.
    """
    if len(real_logits) != len(fake_logits):
        raise UserError(f"{len(real_logits)} real and {len(fake_logits)} fake logits: give as many of both")
    labels = torch.cat([torch.ones_like(real_logits), torch.zeros_like(fake_logits)])
    return -2 * binary_cross_entropy_with_logits(torch.cat([real_logits, fake_logits]), labels)


def value_of_densities(p: LogProb, q: LogProb, bounds: tuple[float, float], panels: int = 2000) -> GameValue:
    """V(D*, G) and the JSD of two 1-D densities given as log p and log q, both all but 0 outside of `bounds`."""
    points, weights = gauss_legendre(torch.linspace(*bounds, panels + 1, dtype=torch.float64))
    log_p, log_q = p(points[:, None]).double(), q(points[:, None]).double()
    logit = log_p - log_q  # D* = p / (p + q)
    integrand = log_p.exp() * logsigmoid(logit) + log_q.exp() * logsigmoid(-logit)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    kl_p, kl_q = (f.exp() * (f - log_m) for f in (log_p, log_q))
    present = (log_p > -math.inf) & (log_q > -math.inf)  # elsewhere: log D* = 0 and KL's integrand is p log 2
    one_sided = (log_p.exp() + log_q.exp()) * math.log(2)
    return GameValue(
        value=(weights * torch.where(present, integrand, 0.0)).sum().item(),
        jsd=(weights * torch.where(present, kl_p + kl_q, one_sided)).sum().item() / 2,
    )


def unconscious_statistician(
    generator: Callable[[Tensor], Tensor], prior: Prior, f: Callable[[Tensor], Tensor], edges: Tensor
) -> tuple[float, float]:
    """E over z ~ prior of f(G(z)), and E over x ~ p_g of f(x), as equation 3 has it: the change of variables.

    The first by quadrature in z; the second from the exact masses of p_g in bins that have to hold all of it, with f at
    their centres: its error is at most max |f'| width / 2, and mostly far less. f takes (N,) to (N,).
    """
    curve = trace(generator, prior)
    latents, weights = gauss_legendre(curve.latents, order=3)
    with torch.no_grad():
        over_latents = (weights * prior.log_prob(latents).exp() * f(curve.call(latents))).sum().item()
    bins = bin_masses(generator, prior, edges)
    if (outside := bins.below + bins.above) > 1e-6:
        raise UserError(f"{outside:.2g} of p_g lies outside of the bins: widen the edges")
    return over_latents, (bins.masses * f(bins.centres)).sum().item()
