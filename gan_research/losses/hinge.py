"""The hinge loss of Lim & Ye 2017, "Geometric GAN", equations 16 and 17 of Miyato et al. 2018."""

from torch import Tensor
from torch.nn.functional import relu

from gan_research.losses.base import AdversarialLoss


class Hinge(AdversarialLoss):
    """D: max(0, 1 - D(x)) + max(0, 1 + D(G(z))); G: -D(G(z))."""

    def discriminator(self, real_logits: Tensor, fake_logits: Tensor) -> Tensor:
        return relu(1 - real_logits) + relu(1 + fake_logits)

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return -fake_logits
