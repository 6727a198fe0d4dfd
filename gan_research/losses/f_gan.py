"""The losses of Nowozin et al. 2016, "f-GAN", each with its f-divergence D_f = sum q f(p / q).

Equation 7 with v the logit: D minimizes -g(v) over reals plus f*(g(v)) over fakes, where f* is the convex conjugate of
f and the activation g maps v, large for reals, into its domain (tables 2 and 6). f*(g(v)) is in closed form, as the
composition overflows. D* is g(v) = f'(p / q).
"""

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from gan_research.losses.base import Separable
from gan_research.losses.divergences import alpha_divergence, kl, pearson_chi2, squared_hellinger, total_variation
from gan_research.losses.minimax import KL_LESS_TWO_JSD, LOG_4, TWO_JSD, Minimax
from gan_research.losses.theory import LOG_RATIO, Functional, Theory
from gan_research.utils.errors import UserError

Objective = Literal["minimax", "non_saturating"]


class FGAN(Separable):
    """The base of f-GAN losses.

    G minimizes -f*(g(v)), which descends D_f (minimax), or -g(v) (non_saturating, section 3.2), which descends at D*
    the H with dH/dq = -f'(p / q).
    """

    divergence: Functional
    non_saturating: Functional  # h
    optimal_logit = LOG_RATIO
    unique = True
    at_equality = 0.0

    def __init__(self, generator_objective: Objective = "non_saturating"):
        if generator_objective not in get_args(Objective):
            raise UserError(f"generator_objective={generator_objective}: set it to {' or '.join(get_args(Objective))}")
        self.generator_objective = generator_objective

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        if self.generator_objective == "minimax":
            return -self.fake_term(fake_logits)
        return self.real_term(fake_logits)

    def theory(self) -> Theory:
        return self._theory(self.divergence, self.non_saturating, self.optimal_logit)

    def _theory(self, divergence: Functional, non_saturating: Functional, optimal_logit: Functional) -> Theory:
        return Theory(
            kind="pointwise",
            at_equality=self.at_equality,
            divergence=divergence,
            optimal_logit=optimal_logit,
            unique=self.unique,
            descends=divergence if self.generator_objective == "minimax" else non_saturating,
        )


class KL(FGAN):
    """f(u) = u log u, f*(t) = exp(t - 1), g(v) = v."""

    divergence = Functional("KL(p || q)", kl)
    non_saturating = Functional("KL(q || p)", lambda p, q: kl(q, p))
    optimal_logit = Functional("1 + log p/q", lambda p, q: 1 + LOG_RATIO(p, q))

    def real_term(self, logits: Tensor) -> Tensor:
        return -logits

    def fake_term(self, logits: Tensor) -> Tensor:
        return (logits - 1).exp()


class ReverseKL(FGAN):
    """Reverse KL: f(u) = -log u, f*(t) = -1 - log(-t), g(v) = -exp(-v), f*(g(v)) = v - 1."""

    relativistic_base = True
    divergence = Functional("KL(q || p)", lambda p, q: kl(q, p))
    non_saturating = Functional("chi^2(q || p) / 2", lambda p, q: pearson_chi2(q, p) / 2)

    def real_term(self, logits: Tensor) -> Tensor:
        return (-logits).exp()

    def fake_term(self, logits: Tensor) -> Tensor:
        return logits - 1


class PearsonChi2(FGAN):
    """f(u) = (u - 1)^2, f*(t) = t^2 / 4 + t, g(v) = v."""

    divergence = Functional("chi^2(p || q)", pearson_chi2)
    non_saturating = Functional("2 KL(p || q)", lambda p, q: 2 * kl(p, q))
    optimal_logit = Functional("2 (p/q - 1)", lambda p, q: 2 * (p / q - 1))

    def real_term(self, logits: Tensor) -> Tensor:
        return -logits

    def fake_term(self, logits: Tensor) -> Tensor:
        return logits.square() / 4 + logits


class SquaredHellinger(FGAN):
    """The squared Hellinger distance.

    f(u) = (sqrt u - 1)^2, f*(t) = t / (1 - t), g(v) = 1 - exp(-v), f*(g(v)) = exp(v) - 1.
    """

    relativistic_base = True
    divergence = Functional("H^2", squared_hellinger)
    non_saturating = Functional("2/3 sum q^1.5 p^-0.5", lambda p, q: 2 / 3 * (q * (q / p).sqrt()).sum())
    optimal_logit = Functional("1/2 log p/q", lambda p, q: LOG_RATIO(p, q) / 2)

    def real_term(self, logits: Tensor) -> Tensor:
        return (-logits).exp() - 1  # expm1's gradient, its result plus 1, would round to 0 where v is large


class GANDivergence(FGAN, Minimax):
    """The "GAN" divergence of the paper: `Minimax` or `NonSaturating`, by `generator_objective`.

    f(u) = u log u - (u + 1) log(u + 1), f*(t) = -log(1 - exp t), g(v) = -softplus(-v), f*(g(v)) = softplus(v).
    """

    divergence = TWO_JSD
    non_saturating = KL_LESS_TWO_JSD
    at_equality = -LOG_4


class JensenShannon(GANDivergence):
    """The Jensen-Shannon divergence: its value is 2 JSD, without the constant -log 4 of `GANDivergence`.

    f(u) = u log u - (u + 1) log((u + 1) / 2), f*(t) = -log(2 - exp t), g(v) = log 2 - softplus(-v).
    """

    at_equality = 0.0

    def real_term(self, logits: Tensor) -> Tensor:
        return super().real_term(logits) - LOG_4 / 2


class TotalVariation(FGAN):
    """Total variation: f(u) = |u - 1| / 2, f*(t) = t for |t| <= 1/2, g(v) = tanh(v) / 2."""

    divergence = non_saturating = Functional("TV", total_variation)
    optimal_logit = Functional("artanh(sign(p - q))", lambda p, q: (p - q).sign().atanh())  # infinite
    unique = False

    def real_term(self, logits: Tensor) -> Tensor:
        # tanh(v) / 2 = 1/2 - sigmoid(-2v) = sigmoid(2v) - 1/2: the form whose gradient doesn't round to 0
        return torch.where(logits > 0, (-2 * logits).sigmoid() - 0.5, 0.5 - (2 * logits).sigmoid())


class Alpha(FGAN):
    """f(u) = (u^alpha - 1 - alpha (u - 1)) / (alpha (alpha - 1)).

    f*(t) = (((alpha - 1) t + 1)^(alpha / (alpha - 1)) - 1) / alpha, the base clamped at 0 for alpha > 1 (u >= 0).
    g(v) = v for alpha > 1, 1 / (1 - alpha) - softplus(-v) for alpha < 1; there f*(g(v)) =
    (((1 - alpha) softplus(-v))^(alpha / (alpha - 1)) - 1) / alpha. alpha = 2 is half Pearson's chi-squared, alpha = 0.5
    twice the squared Hellinger distance.
    """

    def __init__(self, alpha: float = 0.5, generator_objective: Objective = "non_saturating"):
        super().__init__(generator_objective)
        if alpha in (0, 1):
            limit = "KL (loss=f_kl)" if alpha else "ReverseKL (loss=f_reverse_kl)"
            raise UserError(f"alpha={alpha:g} is a limit: use {limit}")
        self.alpha, self.power = alpha, alpha / (alpha - 1)
        self.relativistic_base = alpha < 1

    def real_term(self, logits: Tensor) -> Tensor:
        return -logits if self.alpha > 1 else softplus(-logits) - 1 / (1 - self.alpha)

    def fake_term(self, logits: Tensor) -> Tensor:
        if self.alpha > 1:
            raised = relu((self.alpha - 1) * logits + 1) ** self.power
        else:
            # log softplus(-v), which is -v where softplus would underflow
            log_softplus = torch.where(logits < 30, softplus(-logits.clamp(max=30)).log(), -logits)
            raised = (self.power * (math.log(1 - self.alpha) + log_softplus)).exp()
        return (raised - 1) / self.alpha

    def theory(self) -> Theory:
        alpha = self.alpha
        return self._theory(
            Functional(f"D_{alpha:g}(p || q)", lambda p, q: alpha_divergence(p, q, alpha)),
            Functional(f"D_{2 - alpha:g}(q || p)", lambda p, q: alpha_divergence(q, p, 2 - alpha)),
            Functional("g^-1(((p/q)^(alpha - 1) - 1) / (alpha - 1))", self._optimal_logit),
        )

    def _optimal_logit(self, p: Tensor, q: Tensor) -> Tensor:
        slope = ((self.alpha - 1) * LOG_RATIO(p, q)).exp() / (self.alpha - 1)  # f'(p / q) + 1 / (alpha - 1)
        if self.alpha > 1:
            return slope - 1 / (self.alpha - 1)
        return slope - (-slope.expm1()).log()  # softplus(-v) = -slope
