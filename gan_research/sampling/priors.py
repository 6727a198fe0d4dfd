"""Priors: distributions of the generator's latents."""

import math
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.checkpoints.rebuild import Rebuildable
from gan_research.utils.codes import Codes
from gan_research.utils.errors import UserError, require, require_positive


class Prior(Rebuildable):
    """A distribution over latents of `latent_dim` numbers."""

    bound: float = math.inf
    """The largest absolute value of a latent's numbers."""

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

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """Interpolate from a (t = 0) to b (t = 1), both (..., latent_dim), inside the prior's mass.

        t: a number, or float64 (..., 1).
        """
        raise NotImplementedError

    def truncate(self, latents: Tensor, threshold: float) -> Tensor:
        """Map latents to the prior restricted to [-threshold, threshold] in each coordinate.

        Brock et al. 2019 (BigGAN, section 3.1) draw values outside again. The same distribution by the inverse of F,
        the CDF, is a function of the latent: z -> F^-1(F(-t) + F(z) (F(t) - F(-t))), in float64. Nothing changes if
        the threshold isn't below `bound`.
        """
        if threshold >= self.bound:
            return latents
        low, high = self.cdf(torch.tensor([-threshold, threshold], dtype=torch.float64))
        truncated = self.quantile(low + self.cdf(latents.double()) * (high - low))
        return truncated.clamp(-threshold, threshold).to(latents.dtype)


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

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
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

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """Return a + t (b - a)."""
        return a.double().lerp(b.double(), t).to(a.dtype)


class CodedPrior(Prior):
    """The Gaussian or uniform prior with codes in its last coordinates (InfoGAN, Chen et al. 2016).

    latent_dim: number of all coordinates; those without a code are noise, N(0, 1) or U[-1, 1).
    categorical, categories, continuous: one-hot codes, their values, and codes of U[-1, 1), see `Codes`.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        categorical: NonNegativeInt = 1,
        categories: PositiveInt = 10,
        continuous: NonNegativeInt = 2,
        noise: Literal["gaussian", "uniform"] = "gaussian",
    ):
        super().__init__(latent_dim)
        if noise not in NOISE:
            raise UserError(f"prior.noise={noise}: set gaussian or uniform")
        self.codes = Codes(categorical, categories, continuous)
        if latent_dim <= self.codes.size:
            raise UserError(
                f"prior.latent_dim={latent_dim}: {self.codes} take {self.codes.size} coordinates: set more than those"
            )
        self.noise = NOISE[noise](latent_dim - self.codes.size)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        codes, device = self.codes, generator.device
        noise = self.noise.sample(n, generator)
        values = torch.randint(codes.categories, (n, codes.categorical), generator=generator, device=device)
        one_hot = torch.eye(codes.categories, device=device)[values]
        continuous = torch.rand(n, codes.continuous, generator=generator, device=device).mul_(2).sub_(1)
        return torch.cat([noise, one_hot.flatten(1), continuous], 1)

    def interpolate(self, a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
        """Interpolate noise and continuous codes; categorical ones change from a's to b's at t = 1/2."""
        (noise_a, one_hot_a, continuous_a), (noise_b, one_hot_b, continuous_b) = map(self.codes.split, (a, b))
        noise = self.noise.interpolate(noise_a, noise_b, t)
        continuous = continuous_a.double().lerp(continuous_b.double(), t).to(a.dtype)
        one_hot = torch.where(torch.as_tensor(t) < 0.5, one_hot_a.flatten(-2), one_hot_b.flatten(-2))
        return torch.cat([noise, one_hot, continuous], -1)

    def truncate(self, latents: Tensor, threshold: float) -> Tensor:
        """Truncate the noise; codes keep their values, which have a meaning."""
        noise, codes = latents.tensor_split([self.noise.latent_dim], -1)
        return torch.cat([self.noise.truncate(noise, threshold), codes], -1)


NOISE: dict[str, type[Prior]] = {"gaussian": GaussianPrior, "uniform": UniformPrior}
