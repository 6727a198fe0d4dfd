"""A quadratic discriminator, whose input gradient is known, and a step on random images."""

import torch

from gan_research.losses import NonSaturating
from gan_research.networks.base import DOutput
from gan_research.regularizers import Progress, Side, Step
from gan_research.utils.rng import Noise

N, SHAPE = 6, (2, 3, 3)


class Quadratic(torch.nn.Module):
    """D(x) = <w, x> + a/2 ||x||^2 of packs x, whose gradient in x is w + a x; it remembers where it was asked."""

    def __init__(self, a, packing=1, scale=1.0):
        super().__init__()
        self.w = torch.nn.Parameter(scale * torch.linspace(-1, 2, 18 * packing).view(-1, *SHAPE[1:]))
        self.a = torch.nn.Parameter(torch.tensor(float(a)))
        self.asked = []

    def pack(self, images):
        return images.reshape(-1, *self.w.shape)

    def forward(self, images):
        self.asked.append(images.detach())
        packs = self.pack(images)
        logits = (self.w * packs).flatten(1).sum(1) + self.a / 2 * packs.flatten(1).square().sum(1)
        return DOutput(logits, packs)

    def slope(self, images):
        return (self.w + self.a * self.pack(images)).detach().double()


def moment(discriminator, want=(), player="discriminator", n=N, G=None, latent_dim=1):
    """A step on random images, or on G's, in which the real or the fake ones ask for a gradient as `want` says."""
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(n, latent_dim, generator=generator) if G else torch.zeros(n, latent_dim)
    real = torch.randn(n, *SHAPE, generator=generator).requires_grad_("real" in want)
    fake = G(latents) if G else torch.randn(n, *SHAPE, generator=generator).requires_grad_("fake" in want)
    step = Step(
        player=player,
        real=Side(real, None, discriminator(real)),
        fake=Side(fake, None, discriminator(fake)),
        latents=latents,
        G=G,
        D=lambda images, condition=None, side="view", repeat=False: discriminator(images),
        networks={"discriminator": discriminator},
        loss=NonSaturating(),
        noise=Noise(seed=0, position=3, total=n, start=0, stop=n),
        progress=Progress.zeros(),
        log=None,
    )
    discriminator.asked.clear()
    return step
