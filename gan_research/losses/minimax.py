"""The losses of Goodfellow et al. 2014, with D(x) = sigmoid(logit)."""

import math
from dataclasses import replace

from torch import Tensor
from torch.nn.functional import softplus

from gan_research.losses.base import Separable
from gan_research.losses.divergences import jsd, kl
from gan_research.losses.theory import LOG_RATIO, Functional, Theory

LOG_4 = math.log(4)
TWO_JSD = Functional("2 JSD", lambda p, q: 2 * jsd(p, q))
KL_LESS_TWO_JSD = Functional("KL(q || p) - 2 JSD", lambda p, q: kl(q, p) - 2 * jsd(p, q))


class Minimax(Separable):
    """The value function of equation 1: D ascends V and G descends it.

    V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))]; in the logit l, log D = -softplus(-l), log(1 - D) = -softplus(l).
    G's gradient in the logit is -D(G(z)), which vanishes where D rejects a fake (saturation).
    """

    logits_are_log_odds = True
    relativistic_base = True

    def real_term(self, logits: Tensor) -> Tensor:
        return softplus(-logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -self.fake_term(fake_logits)

    def theory(self) -> Theory:
        # proposition 1, D* = p / (p + q), and theorem 1
        return Theory(
            kind="pointwise", at_equality=-LOG_4, divergence=TWO_JSD, optimal_logit=LOG_RATIO, descends=TWO_JSD
        )


class NonSaturating(Minimax):
    """D as in `Minimax`; G ascends E[log D(G(z))] (section 3 of the paper).

    G's gradient in the logit is D(G(z)) - 1, which is largest where D rejects a fake.
    """

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return self.real_term(fake_logits)

    def theory(self) -> Theory:
        return replace(super().theory(), descends=KL_LESS_TWO_JSD)  # theorem 2.5 of Arjovsky & Bottou 2017
