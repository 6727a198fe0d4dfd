"""The losses of Jolicoeur-Martineau 2018, "The relativistic discriminator": reals are compared with fakes.

They apply the terms of a base loss, such as `NonSaturating`, to differences of logits. C(x) is the logit of a real and
C(y) the logit of a fake.
"""

from dataclasses import replace

import torch
from torch import Tensor

from gan_research.distributed import all_reduce_mean
from gan_research.losses.base import AdversarialLoss, Player, Separable
from gan_research.losses.divergences import jsd, kl, triangular
from gan_research.losses.least_squares import LeastSquares
from gan_research.losses.minimax import Minimax
from gan_research.losses.theory import LOG_RATIO, Functional, Theory, absent
from gan_research.utils.errors import UserError


class Relative(AdversarialLoss):
    """The base of relativistic losses: G's loss is D's with the roles exchanged."""

    needs_real = True

    def __init__(self, base: Separable):
        if not base.relativistic_base:
            raise UserError(
                f"{type(self).__name__} needs a base whose real term is convex, bounded below and falling at 0, "
                f"and that of {type(base).__name__} isn't: use NonSaturating, LeastSquares or Hinge"
            )
        self.base = base

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        assert real_logits is not None, "a relativistic generator loss requires real logits"
        return self.discriminator(fake_logits, real_logits)

    def theory(self) -> Theory:
        # Equal logits are optimal at p = q, by Jensen's inequality; elsewhere D's gradient at them isn't 0.
        at_equality = 0.0 - self.discriminator(*torch.zeros(2, 1, dtype=torch.float64)).item()  # 0.0, never -0.0
        return Theory(kind="numeric", at_equality=at_equality, unique=False)


class Relativistic(Relative):
    """The paired loss (RpGAN). D: phi(C(x) - C(y)); G: phi(C(y) - C(x)); phi: the base's `real_term`."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return self.base.real_term(real_logits - fake_logits)

    def theory(self) -> Theory:
        if isinstance(self.base, Minimax):  # D classifies pairs: p x q against q x p
            divergence = Functional("JSD(p x q || q x p)", pairs_jsd)
            optimal_logit = LOG_RATIO
            descends = Functional("KL(q || p) - JSD(p x q || q x p)", lambda p, q: kl(q, p) - pairs_jsd(p, q))
        elif isinstance(self.base, LeastSquares):
            b, t = self.base.b, "T = sum (p - q)^2 / (p + q) / 2"
            divergence = Functional(f"{b**2:g} T / (1 + T), {t}", lambda p, q: b**2 * (1 - shrinkage(p, q)))
            optimal_logit = Functional(
                f"{b:g} / (1 + T) * (p - q) / (p + q), {t}", lambda p, q: b * shrinkage(p, q) * (p - q) / (p + q)
            )
            descends = absent("the generator follows the gradient of no functional of q, as its field has a curl")
        else:
            return super().theory()
        shift = replace(super().theory(), kind="shift", unique=True)
        return replace(shift, divergence=divergence, optimal_logit=optimal_logit, descends=descends)


def shrinkage(p: Tensor, q: Tensor) -> Tensor:
    """Return 1 / (1 + T)."""
    return 1 / (1 + triangular(p, q) / 2)


def pairs_jsd(p: Tensor, q: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence between pairs (real, fake) and pairs (fake, real)."""
    return jsd(torch.outer(p, q).flatten(), torch.outer(q, p).flatten())


class RelativisticAverage(Relative):
    """The average loss (RaGAN). D: phi(C(x) - mean C(y)) + psi(C(y) - mean C(x)); G: psi and phi exchanged.

    phi and psi are the base's terms for reals and for fakes; the means are over the global minibatch.
    """

    couples_batch = True

    def __init__(self, base: Separable):
        super().__init__(base)
        probe = torch.linspace(-2, 2, 5)
        if not torch.equal(base.fake_term(probe), base.real_term(-probe)):
            raise UserError(
                f"{type(self).__name__} needs a base whose terms mirror each other, and those of {type(base).__name__} "
                "don't: use NonSaturating, Hinge, or LeastSquares with a=-1, b=1"
            )

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        means = all_reduce_mean(torch.stack([real_logits.mean(), fake_logits.mean()]))
        return torch.add(*self._terms(real_logits, fake_logits, *means))

    def expected(self, player: Player, logits: Tensor, p: Tensor, q: Tensor) -> Tensor:
        if player == "generator":
            p, q = q, p
        on_real, on_fake = self._terms(logits, logits, p @ logits, q @ logits)
        return p @ on_real + q @ on_fake

    def _terms(self, real: Tensor, fake: Tensor, mean_real: Tensor, mean_fake: Tensor) -> tuple[Tensor, Tensor]:
        return self.base.real_term(real - mean_fake), self.base.fake_term(fake - mean_real)
