"""Priors of the latents: what the generator is fed."""

import math

import torch
from torch import Tensor

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.utils.errors import UserError


class Prior(Rebuildable):
    """A distribution over latents of `latent_dim` numbers."""

    def __init__(self, latent_dim: int):
        if latent_dim < 1:
            raise UserError(f"prior.latent_dim={latent_dim}: give at least 1")
        self.latent_dim = latent_dim

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, latent_dim) float32 on the generator's device."""
        raise NotImplementedError

    def cdf(self, latents: Tensor) -> Tensor:
        """P(Z <= z) of each coordinate, in the dtype of `latents`."""
        raise NotImplementedError

    def quantile(self, probabilities: Tensor) -> Tensor:
        """The inverse of `cdf`."""
        raise NotImplementedError

    def log_prob(self, latents: Tensor) -> Tensor:
        """The log-density of each coordinate in nats, -inf outside of the support."""
        raise NotImplementedError

    def interpolate(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """Latents the share t of the way from a to b, both (..., latent_dim), along a path that suits the prior."""
        raise NotImplementedError


class GaussianPrior(Prior):
    """z ~ N(0, I)."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=generator, device=generator.device)

    def cdf(self, latents: Tensor) -> Tensor:
        return torch.special.ndtr(latents)

    def quantile(self, probabilities: Tensor) -> Tensor:
        return torch.special.ndtri(probabilities)

    def log_prob(self, latents: Tensor) -> Tensor:
        return -0.5 * latents.square() - 0.5 * math.log(2 * math.pi)

    def interpolate(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """(sin((1 - t) w) a + sin(t w) b) / sin w, at the angle w between a and b; straight where they are parallel.

        Almost all of the prior's mass is on a sphere, which straight lines would leave. Shoemake 1985, "Animating
        rotation with quaternion curves".
        """
        x, y = a.double(), b.double()
        cosine = torch.cosine_similarity(x, y, dim=-1).clamp(-1, 1).unsqueeze(-1)
        angle = cosine.acos()
        arc = (((1 - t) * angle).sin() * x + (t * angle).sin() * y) / angle.sin()
        return torch.where(angle.sin() > 1e-6, arc, x.lerp(y, t)).to(a.dtype)


class UniformPrior(Prior):
    """z ~ U[-bound, bound)^latent_dim.

    `bound` is 1 in Radford et al. 2015, and sqrt(3), of unit variance, in the code of Goodfellow et al. 2014.
    """

    def __init__(self, latent_dim: int, bound: float = 1.0):
        super().__init__(latent_dim)
        if not 0 < bound < math.inf:
            raise UserError(f"prior.bound={bound}: give a positive one")
        self.bound = bound

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(n, self.latent_dim, generator=generator, device=generator.device)
        return uniform.mul_(2 * self.bound).sub_(self.bound)

    def cdf(self, latents: Tensor) -> Tensor:
        return ((latents / self.bound + 1) / 2).clamp(0, 1)

    def quantile(self, probabilities: Tensor) -> Tensor:
        return self.bound * (2 * probabilities - 1)

    def log_prob(self, latents: Tensor) -> Tensor:
        return torch.full_like(latents, -math.log(2 * self.bound)).where(latents.abs() <= self.bound, -math.inf)

    def interpolate(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """a + t (b - a)."""
        return a.double().lerp(b.double(), t).to(a.dtype)
