"""The loss of Mao et al. 2017, "Least squares generative adversarial networks"."""

from torch import Tensor

from gan_research.losses.base import AdversarialLoss


class LeastSquares(AdversarialLoss):
    """Equation 2: D pulls fakes to the code `a` and reals to `b`; G pulls fakes to `c`.

    b - c = 1 and b - a = 2 minimise the Pearson chi-squared divergence (section 3.2); the defaults are the 0-1 code
    of equation 9.
    """

    def __init__(self, a: float = 0.0, b: float = 1.0, c: float = 1.0):
        self.a, self.b, self.c = a, b, c

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return 0.5 * (real_logits - self.b).square() + 0.5 * (fake_logits - self.a).square()

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return 0.5 * (fake_logits - self.c).square()
