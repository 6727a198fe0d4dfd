"""The losses of Goodfellow et al. 2014, with D(x) = sigmoid(logit)."""

from torch import Tensor
from torch.nn.functional import softplus

from gan_research.losses.base import AdversarialLoss


class Minimax(AdversarialLoss):
    """The value function itself, equation 1: D ascends V and G descends it.

    V(D, G) = E[log D(x)] + E[log(1 - D(G(z)))]; in the logit l, log D = -softplus(-l), log(1 - D) = -softplus(l).
    G's gradient in the logit is -D(G(z)): it vanishes where D is sure of a fake (saturating).
    """

    log_odds = True

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return softplus(-real_logits) + softplus(fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -softplus(fake_logits)


class NonSaturating(Minimax):
    """D as in `Minimax`; G ascends E[log D(G(z))] (section 3 of the paper).

    G's gradient in the logit is D(G(z)) - 1: strongest where D is sure of a fake.
    """

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return softplus(-fake_logits)
