"""Langevin dynamics of latents."""

import math
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.sampling.priors import Prior
from gan_research.sampling.selection.base import Selection
from gan_research.utils.errors import UserError, require, require_positive


class DDLS(Selection):
    """Discriminator driven latent sampling (Che et al. 2020): Langevin steps in the energy of latents.

    E(z) = -log p_0(z) - d(G(z)), with p_0 the prior; z <- z - e/2 grad E(z) + sqrt(e) n, n ~ N(0, noise^2). No step is
    rejected, unlike in MALA, so the stationary distribution has a bias of order e: for the E of a unit Gaussian its
    variance is 1 / (1 - e/4) instead of 1. Latents of a bounded prior are reflected at its bounds.

    steps: from a draw of the prior; too few leave the samples near the generator's. step_size: e.
    noise: the *standard deviation* of n; the method samples exp(-E / noise^2).
    decay: the step size e is multiplied by it after each `decay_every` steps, and so sqrt(e) n follows.
    """

    def __init__(
        self,
        steps: PositiveInt = 1000,
        step_size: PositiveFloat = 0.01,
        noise: NonNegativeFloat = 1.0,
        decay: Annotated[float, Field(gt=0, le=1)] = 1.0,
        decay_every: PositiveInt = 200,
    ):
        require(1, **{"sampler.steps": steps, "sampler.decay_every": decay_every})
        require_positive(**{"sampler.step_size": step_size, "sampler.decay": decay})
        require(0, **{"sampler.noise": noise})
        self.steps, self.step_size, self.noise, self.decay, self.decay_every = (
            steps,
            step_size,
            noise,
            decay,
            decay_every,
        )

    def check(self, prior: Prior, discriminator: Any) -> None:
        super().check(prior, discriminator)
        try:
            prior.log_prob(torch.zeros(1, prior.latent_dim))
        except NotImplementedError as error:
            raise UserError(
                f"{self.name} needs the density of latents, and {type(prior).__name__} has no log_prob: take "
                "sampler=rejection, which needs none"
            ) from error

    def latents(self, sampler: Any, n: int, seed: int, start: int, labels: Tensor | None, batch_size: int) -> Tensor:
        weights = next(sampler.generator.parameters())
        latents = sampler.latents(n, seed, start).to(weights.device, weights.dtype)
        layers = sampler.layer_noise(seed, range(start, start + n))
        for step in range(self.steps):
            size = self.step_size * self.decay ** (step // self.decay_every)
            with torch.enable_grad():
                latents.requires_grad_()
                energy = -sampler.prior.log_prob(latents).sum() - sampler.logits(latents, labels, layers).sum()
                (gradient,) = torch.autograd.grad(energy, latents)
            noise = sampler.drawn(normal(sampler.prior.latent_dim), n, seed, start, f"langevin {step}").to(latents)
            moved = latents.detach() - size / 2 * gradient + math.sqrt(size) * self.noise * noise
            latents = reflected(moved, sampler.prior.bound)
        if not latents.isfinite().all():
            raise UserError(f"{self.name} diverged: lower sampler.step_size={self.step_size:g}")
        return latents


def normal(columns: int) -> Any:
    """Return a function (n, generator) -> standard normal numbers (n, columns)."""
    return lambda n, generator: torch.randn(n, columns, generator=generator)


def reflected(values: Tensor, bound: float) -> Tensor:
    """Return values reflected at -bound and bound, as often as it takes to get inside."""
    if bound == math.inf:
        return values
    return bound - ((values + bound).remainder(4 * bound) - 2 * bound).abs()
