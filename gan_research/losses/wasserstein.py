"""The loss of Arjovsky et al. 2017, "Wasserstein GAN", equation 2."""

from torch import Tensor

from gan_research.losses.base import Separable
from gan_research.losses.divergences import wasserstein_1d
from gan_research.losses.theory import Functional, Theory

W1 = Functional("W1", wasserstein_1d)


class Wasserstein(Separable):
    """D: D(G(z)) - D(x); G: -D(G(z)). It wants a Lipschitz discriminator: a regularizer or spectral norm."""

    wants_lipschitz = True

    def real_term(self, logits: Tensor) -> Tensor:
        return -logits

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits

    def theory(self) -> Theory:
        # Kantorovich-Rubinstein duality on the grid 0, 1, 2, ...; any constant may be added to the potential.
        logit = Functional("Kantorovich potential", potential)
        return Theory(kind="metric", at_equality=0.0, divergence=W1, optimal_logit=logit, unique=False, descends=W1)


def potential(p: Tensor, q: Tensor) -> Tensor:
    """Return f with f(0) = 0 and f(i + 1) - f(i) = -sign(F_p(i) - F_q(i)): it rises where mass moves up."""
    steps = -(p - q).cumsum(0).sign()
    return steps.cumsum(0) - steps
