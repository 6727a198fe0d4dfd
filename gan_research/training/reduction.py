"""Reduction of losses to a scalar, and refinement of latents."""

from collections.abc import Callable

from torch import Tensor

from gan_research.regularizers import Step
from gan_research.utils.rng import Noise


class Reduction:
    """Reduces the losses of a micro-batch (N,) to a scalar."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        """Return the scalar that `step.player` minimizes; called in both players' updates."""
        raise NotImplementedError


class Mean(Reduction):
    """The mean of all losses."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        return losses.mean()


class LatentRefinement:
    """Refinement of latents before the generator gets them (such as LOGAN, Wu et al. 2019)."""

    def __call__(
        self, latents: Tensor, score: Callable[[Tensor], Tensor], noise: Noise, log: Callable[[str, Tensor], None]
    ) -> Tensor:
        """Return latents of the same shape (N, latent_dim); called in both players' updates.

        score: latents -> D's logits of their images, differentiable under `torch.enable_grad()`.
        """
        raise NotImplementedError
