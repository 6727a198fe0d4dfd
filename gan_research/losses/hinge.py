"""The hinge loss of Lim & Ye 2017, "Geometric GAN" (Miyato et al. 2018, equations 16 and 17)."""

from torch import Tensor
from torch.nn.functional import relu

from gan_research.losses.base import Separable
from gan_research.losses.divergences import total_variation
from gan_research.losses.theory import Functional, Theory

TWO_TV = Functional("2 TV", lambda p, q: 2 * total_variation(p, q))


class Hinge(Separable):
    """D: max(0, 1 - D(x)) + max(0, 1 + D(G(z))); G: -D(G(z))."""

    relativistic_base = True

    def real_term(self, logits: Tensor) -> Tensor:
        return relu(1 - logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits

    def theory(self) -> Theory:
        # D's expected loss at its best is sum 2 min(p, q), attained by every logit in [-1, 1] where p = q.
        sign = Functional("sign(p - q)", lambda p, q: (p - q).sign())
        return Theory(
            kind="pointwise", at_equality=-2.0, divergence=TWO_TV, optimal_logit=sign, unique=False, descends=TWO_TV
        )
