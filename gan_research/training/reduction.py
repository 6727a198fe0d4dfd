"""Reductions of the losses of a micro-batch to a scalar."""

import torch
from pydantic import PositiveInt
from torch import Tensor

from gan_research.distributed import gather_of_all, rank_and_world_size
from gan_research.regularizers import Step
from gan_research.regularizers.step import mean_logits
from gan_research.utils.errors import UserError
from gan_research.utils.ranges import PositiveFraction


class Reduction:
    """Reduces the losses of a micro-batch (N,) to a scalar."""

    couples_batch = False  # true if it depends on the whole minibatch: it gathers over ranks, without accumulation

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        """Return the scalar that `step.player` minimizes; called in both players' updates."""
        raise NotImplementedError


class Mean(Reduction):
    """The mean of all losses."""

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        return losses.mean()


class TopK(Reduction):
    """The mean over the k fakes with the largest logits, for G.

    For D, the mean of all. Of a minibatch of B logits, on all ranks, k = max(gamma^epoch, nu) * B, rounded down to at
    least 1 (Sinha et al. 2020, "Top-k training of GANs").

    gamma: factor of k for each epoch. nu: the smallest share of the fakes.
    epoch_images: real images in an epoch, as seen by D: those of the training set.
    """

    couples_batch = True

    def __init__(self, gamma: PositiveFraction = 0.99, nu: PositiveFraction = 0.5, epoch_images: PositiveInt = 50_000):
        for name, share in {"gamma": gamma, "nu": nu}.items():
            if not 0 < share <= 1:
                raise UserError(f"top_k: {name}={share}: set it to more than 0 and at most 1")
        if epoch_images < 1:
            raise UserError(f"top_k: epoch_images={epoch_images}: set it to at least 1")
        self.gamma, self.nu, self.epoch_images = gamma, nu, epoch_images

    def kept(self, logits: int, images_seen: Tensor) -> Tensor:
        """Return k, a scalar on the device."""
        share = (self.gamma ** (images_seen // self.epoch_images)).clamp(min=self.nu)
        return (share * logits + 1e-6).floor().clamp(min=1)  # 0.29 * 100 is 28.999999999999996

    def __call__(self, losses: Tensor, step: Step) -> Tensor:
        if step.player == "discriminator":
            return losses.mean()
        assert step.fake.out is not None
        logits = gather_of_all(mean_logits(step.fake.out.logits.detach()))
        k = self.kept(len(logits), step.progress.images_seen)
        step.log("top_k/k", k)
        rank, world_size = rank_and_world_size()
        places = logits.argsort(descending=True, stable=True).argsort()  # 0 for the largest logit
        selected = places.chunk(world_size)[rank] < k
        return torch.where(selected, losses, 0.0).sum() * world_size / k  # its mean over ranks is that over k fakes
