"""The loss of Arjovsky et al. 2017, "Wasserstein GAN", equation 2."""

from torch import Tensor

from gan_research.losses.base import AdversarialLoss


class Wasserstein(AdversarialLoss):
    """D: D(G(z)) - D(x); G: -D(G(z)). The discriminator is a critic and must be kept Lipschitz by a regulariser."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return fake_logits - real_logits

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits
