"""Refinements of latents before the generator gets them."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.networks import MappedGenerator
from gan_research.sampling.priors import Prior
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative, bounds
from gan_research.utils.ranges import PositiveFraction, Probability
from gan_research.utils.rng import Noise


class LatentRefinement:
    """Refinement of latents before G gets them, in both players' updates.

    weight: factor of E ||z' - z||^2 in both players' losses, for latents z and refined ones z'; a number, or a `Ramp`.
    """

    differentiable = False
    """True if each player's loss is differentiated through the refinement, in its own parameters."""
    weight: NonNegative = 0.0

    def __call__(
        self,
        latents: Tensor,
        score: Callable[[Tensor], Tensor],
        prior: Prior,
        noise: Noise,
        log: Callable[[str, Tensor], None],
    ) -> Tensor:
        """Return latents (N, latent_dim) from such ones, or (N, num_ws, latent_dim); called in both players' updates.

        score: latents -> D's logits of their images, differentiable under `torch.enable_grad()`; twice if the
            refinement is `differentiable`.
        """
        raise NotImplementedError

    def check(self, objective: Any) -> None:
        """Raise a UserError if the refinement doesn't support the `Objective`."""


class LOGAN(LatentRefinement):
    """Latent optimization by natural gradient steps (LOGAN, Wu et al. 2019): z' = z + alpha m g / (beta + ||g||^2).

    g is the gradient of D(G(z)) in z; by Sherman-Morrison g / (beta + ||g||^2) is (g g^T + beta I)^-1 g. m masks
    numbers of the latent at random. Refined latents are clipped to the prior's bound if it has one. Both players are
    trained on z', and their gradients go through the steps. Samples and evaluations use z. The defaults are
    StudioGAN's, with a mask for each number as in the paper.

    alpha, beta: step size and damping. steps: number of steps. weight: that of E ||z' - z||^2.
    rate: the probability that a number of a latent, or a latent, is changed.
    mask: "dimensions" draws one for each number, "samples" for each latent, as in StudioGAN.
    differentiable: false takes z' for a constant in both players' losses.
    """

    def __init__(
        self,
        alpha: PositiveFloat = 0.9,
        beta: PositiveFloat = 0.1,
        rate: PositiveFraction = 0.8,
        steps: PositiveInt = 2,
        weight: NonNegative = 0.1,
        mask: Literal["dimensions", "samples"] = "dimensions",
        differentiable: bool = True,
    ):
        for name, value in {"alpha": alpha, "beta": beta, "rate": rate, "steps": steps}.items():
            if not value > 0 or (name == "rate" and value > 1):
                raise UserError(f"logan: {name}={value}: set a positive one{', at most 1' if name == 'rate' else ''}")
        if mask not in ("dimensions", "samples"):
            raise UserError(f"logan: mask={mask}: set it to dimensions or samples")
        if bounds(weight)[0] < 0:
            raise UserError(f"logan: weight={weight}: set it to at least 0")
        if not differentiable and weight != 0:
            raise UserError("logan: weight has no gradient with differentiable=false: set weight=0")
        self.alpha, self.beta, self.rate, self.steps, self.weight = alpha, beta, rate, steps, weight
        self.mask, self.differentiable = mask, differentiable

    def __call__(
        self,
        latents: Tensor,
        score: Callable[[Tensor], Tensor],
        prior: Prior,
        noise: Noise,
        log: Callable[[str, Tensor], None],
    ) -> Tensor:
        refined = latents
        for number in range(self.steps):
            uniform = noise.uniform(f"logan {number}", 1 if self.mask == "samples" else latents.shape[1])
            with torch.enable_grad():
                at = refined if refined.requires_grad else refined.detach().requires_grad_()
                (g,) = torch.autograd.grad(score(at).sum(), at, create_graph=self.differentiable)
                step = self.alpha * g / (self.beta + g.square().sum(1, keepdim=True))
                refined = (refined + (uniform < self.rate) * step).clamp(-prior.bound, prior.bound)
        log("latents/moved", (refined - latents).square().sum(1))
        return refined if self.differentiable else refined.detach()


class StyleMixing(LatentRefinement):
    """Style mixing (StyleGAN, Karras et al. 2019, section 3.1): the layers from a cut on get w of another latent.

    With `probability` the cut is uniform on 1, ..., num_ws - 1, else there is none. As in the code of StyleGAN2, it is
    the same for the whole minibatch, both latents have the prior's distribution, and classes stay. Samples and
    evaluations don't mix.
    """

    num_ws = 1  # of the generator

    def __init__(self, probability: Probability = 0.9):
        if not 0 <= probability <= 1:
            raise UserError(f"style_mixing: probability={probability}: set it from 0 to 1")
        self.probability = probability

    def check(self, objective: Any) -> None:
        """Set the number of layers. UserError if the generator doesn't have several, or the prior has codes."""
        generator = objective.networks["generator"]
        if not isinstance(generator, MappedGenerator) or generator.num_ws < 2:
            raise UserError(
                f"style_mixing needs a generator with a mapping and several layers, unlike {type(generator).__name__}: "
                "set generator=stylegan2, or refinement=none"
            )
        if hasattr(objective.prior, "codes"):
            raise UserError("style_mixing would give layers other codes: set refinement=none, or another prior=")
        self.num_ws = generator.num_ws

    def __call__(
        self,
        latents: Tensor,
        score: Callable[[Tensor], Tensor],
        prior: Prior,
        noise: Noise,
        log: Callable[[str, Tensor], None],
    ) -> Tensor:
        mixes, place = noise.common("style mixing", 2)
        cut = 1 + (place * (self.num_ws - 1)).floor()
        changed = (torch.arange(self.num_ws, device=latents.device) >= cut) & (mixes < self.probability)
        others = noise.sample("latents of style mixing", prior.sample)
        return torch.where(changed[:, None], others[:, None], latents[:, None])
