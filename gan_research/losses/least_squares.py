"""The loss of Mao et al. 2017, "Least squares generative adversarial networks"."""

from torch import Tensor

from gan_research.losses.base import Separable
from gan_research.losses.divergences import triangular
from gan_research.losses.theory import Functional, Theory


class LeastSquares(Separable):
    """Equation 2: D pulls fakes to the code `a` and reals to `b`; G pulls fakes to `c`.

    The defaults are the 0-1 code of equation 9. Section 3.2's Pearson chi-squared divergence (b - c = 1, b - a = 2) is
    G's loss where D* follows G; `theory` has the functional that G descends at a fixed D*.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0):
        self.a, self.b, self.c = a, b, c
        self.relativistic_base = b > 0  # the slope of the real term at 0 is -b

    def real_term(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - self.b).square()

    def fake_term(self, logits: Tensor) -> Tensor:
        return 0.5 * (logits - self.a).square()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return 0.5 * (fake_logits - self.c).square()

    def theory(self) -> Theory:
        # D* is equation 5; with s = p / (p + q), G's loss at it is 1/2 ((b - a) s + a - c)^2.
        a, b, c = self.a, self.b, self.c
        gap, offset, scale = b - a, (b - a) * (a - c), (b - a) ** 2 / 8
        return Theory(
            kind="pointwise",
            at_equality=-(gap**2) / 4,
            divergence=Functional(f"{scale:g} sum (p - q)^2 / (p + q)", lambda p, q: scale * triangular(p, q)),
            optimal_logit=Functional(f"({b:g} p + {a:g} q) / (p + q)", lambda p, q: (b * p + a * q) / (p + q)),
            descends=Functional(
                f"{-(gap**2) / 2:g} sum p^2 / (p + q) + {offset:g} sum p log(p + q)",
                lambda p, q: (p * (offset * (p + q).log() - gap**2 / 2 * p / (p + q))).sum(),
            ),
        )
