"""Exponential moving average of the generator's weights, once a round (Yazici et al. 2019)."""

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from gan_research.utils.errors import UserError
from gan_research.utils.lightning_compat import lerp_
from gan_research.utils.ramps import Positive, bounds, value_at
from gan_research.utils.ranges import Fraction

Tensors = tuple[list[Tensor], list[Tensor]]  # the parameters and the buffers of a network


def tensors(network: nn.Module) -> Tensors:
    """Return the network's parameters and its buffers."""
    return list(network.parameters()), list(network.buffers())


class EMA:
    """average <- decay * average + (1 - decay) * weights.

    Specify `decay` per round, or `half_life_kimg`: then decay = 0.5 ** (images of the round / half-life), which doesn't
    depend on the batch size (Karras et al. 2020). `ramp_up` limits the half-life to this fraction of the images seen so
    far, so that the average forgets the initial weights (0.05 in StyleGAN2-ADA; needs `half_life_kimg`). The half-life
    may be a `Ramp`, from 0 kimg in R3GAN: the average is then a copy at first.
    Parameters are averaged; buffers (batch statistics, spectral-norm vectors) are copied.
    """

    def __init__(
        self,
        decay: Fraction | None = None,
        half_life_kimg: Positive | None = None,
        ramp_up: PositiveFloat | None = None,
    ):
        if (decay is None) == (half_life_kimg is None):
            raise UserError("ema: give either ema.decay (per round) or ema.half_life_kimg")
        if decay is not None and not 0 <= decay < 1:
            raise UserError(f"ema.decay={decay}: give a number from 0 up to, not including, 1")
        if half_life_kimg is not None and bounds(half_life_kimg)[0] < 0:
            raise UserError(f"ema.half_life_kimg={half_life_kimg}: give a positive one")
        if ramp_up is not None and half_life_kimg is None:
            raise UserError("ema.ramp_up needs ema.half_life_kimg")
        self.decay, self.half_life_kimg, self.ramp_up = decay, half_life_kimg, ramp_up

    def decay_at(self, images: int, images_seen: int) -> float:
        """Return the decay of a round of `images` real images, with `images_seen` at its end."""
        if self.half_life_kimg is None:
            assert self.decay is not None
            return self.decay
        half_life = float(value_at(self.half_life_kimg, images_seen - images)) * 1000
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * images_seen)
        return 0.5 ** (images / max(half_life, 1e-8))

    @torch.no_grad()
    def update(self, average: Tensors, network: Tensors, decay: float) -> None:
        """Move the average towards the network by one round."""
        lerp_(average[0], network[0], 1 - decay)
        for averaged, current in zip(average[1], network[1], strict=True):
            averaged.copy_(current)
