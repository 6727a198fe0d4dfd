"""Path length regularization of generators with a mapping."""

from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from gan_research.distributed import all_reduce_mean
from gan_research.networks import MappedGenerator
from gan_research.regularizers.base import RegularizerOfShare
from gan_research.regularizers.step import Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative
from gan_research.utils.ranges import PositiveFraction


class PathLength(RegularizerOfShare):
    """weight * (||J^T y|| - a)^2 for G (StyleGAN2, Karras et al. 2020, equation 4).

    J is the Jacobian of its images in w, y ~ N(0, I) / sqrt(H W). The squared length sums over the numbers of w and is
    a mean over layers. a, initially 0, is the moving average of the mean length over the minibatch, on all ranks:
    a + decay * (mean - a). As in the authors' code, the new average is subtracted, with the gradient of its newest
    part. In float32, uncompiled.

    decay: weight of a minibatch in the average. share: of the latents, 1 / n for every n-th.
    """

    players = ("generator",)
    reads = ()
    reads_weights = True  # the generator's two parts are called one by one
    couples_batch = True
    mean: Tensor

    def __init__(
        self,
        weight: NonNegative = 2.0,
        every: PositiveInt = 4,
        own_step: bool = False,
        decay: PositiveFraction = 0.01,
        share: PositiveFraction = 0.5,
    ):
        super().__init__(weight, every, own_step, share)
        if not 0 < decay <= 1:
            raise UserError(f"path_length: decay={decay}: set it to more than 0 and at most 1")
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))

    def check(self, objective: Any) -> None:
        if not isinstance(generator := objective.networks["generator"], MappedGenerator):
            raise UserError(
                f"path_length needs a generator with a mapping, unlike {type(generator).__name__}: set "
                "generator=stylegan2, or remove it from regularizer="
            )

    def penalty(self, step: Step) -> Tensor:
        generator = step.networks["generator"]
        assert isinstance(generator, MappedGenerator)
        ws = generator.map(self.some(step.latents), self.some(step.fake.condition))
        images = generator.synthesise(ws, self.some(step.layer_noise))
        y = self.some(step.noise.normal("path_length", *images.shape[1:])) / images[0, 0].numel() ** 0.5
        (slopes,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
        lengths = (slopes.square().sum(2).mean(1) + 1e-12).sqrt()  # with a finite derivative at 0
        mean = self.mean.lerp(all_reduce_mean(lengths.mean()), self.decay)
        self.mean.copy_(mean.detach())
        step.log("path_length", mean)
        return (lengths - mean).square()
