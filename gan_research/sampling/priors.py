"""Priors: distributions of the generator's latents."""

import math

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.utils.errors import require, require_positive


class Prior(Rebuildable):
    """A distribution over latents of `latent_dim` numbers."""

    def __init__(self, latent_dim: PositiveInt):
        require(1, **{"prior.latent_dim": latent_dim})
        self.latent_dim = latent_dim

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw latents: (n, latent_dim) float32 on the generator's device."""
        raise NotImplementedError

    def cdf(self, latents: Tensor) -> Tensor:
        """Return P(Z <= z) of each coordinate, in the dtype of `latents`."""
        raise NotImplementedError

    def quantile(self, probabilities: Tensor) -> Tensor:
        """Return the inverse of `cdf`."""
        raise NotImplementedError

    def log_prob(self, latents: Tensor) -> Tensor:
        """Return the log-density of each coordinate in nats, -inf outside of the support."""
        raise NotImplementedError

    def interpolate(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """Interpolate from a (t = 0) to b (t = 1), both (..., latent_dim), inside the prior's mass."""
        raise NotImplementedError


class GaussianPrior(Prior):
    """The Gaussian prior z ~ N(0, I)."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=generator, device=generator.device)

    def cdf(self, latents: Tensor) -> Tensor:
        return torch.special.ndtr(latents)

    def quantile(self, probabilities: Tensor) -> Tensor:
        return torch.special.ndtri(probabilities)

    def log_prob(self, latents: Tensor) -> Tensor:
        return -0.5 * latents.square() - 0.5 * math.log(2 * math.pi)

    def interpolate(self, a: Tensor, b: Tensor, t: float) -> Tensor:
        """Return the spherical (sin((1 - t) w) a + sin(t w) b) / sin w, w the angle; linear if parallel.

        Almost all of the prior's mass is near a sphere, which straight lines would leave. Shoemake 1985, "Animating
        rotation with quaternion curves".
        """
        x, y = a.double(), b.double()
        cosine = torch.cosine_similarity(x, y, dim=-1).clamp(-1, 1).unsqueeze(-1)
        angle = cosine.acos()
        arc = (((1 - t) * angle).sin() * x + (t * angle).sin() * y) / angle.sin()
        return torch.where(angle.sin() > 1e-6, arc, x.lerp(y, t)).to(a.dtype)


class UniformPrior(Prior):
    """The uniform prior z ~ U[-bound, bound)^latent_dim.

    `bound` is 1 in Radford et al. 2015, and sqrt(3), of unit variance, in the code of Goodfellow et al. 2014.
    """

    def __init__(self, latent_dim: PositiveInt, bound: PositiveFloat = 1.0):
        super().__init__(latent_dim)
        require_positive(**{"prior.bound": bound})
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
        """Return a + t (b - a)."""
        return a.double().lerp(b.double(), t).to(a.dtype)
