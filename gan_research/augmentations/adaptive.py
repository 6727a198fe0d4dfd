"""Augmentations whose probability is controlled by the overfitting of D."""

from typing import Any, ClassVar

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.augmentations.base import Augmentation, AugmentationInput, log, require_probability
from gan_research.distributed import all_reduce_mean, rank_and_world_size
from gan_research.losses.base import Player
from gan_research.regularizers.step import Step, mean_logits
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Ramp, bounds, value_at
from gan_research.utils.ranges import Probability


class AdaptiveAugmentation(Augmentation):
    """An augmentation with the controller of ADA (Karras et al. 2020, section 3).

    r_t is the mean sign of D's logits of the reals, over all ranks, since the last adjustment. Every `every` updates of
    D, p rises by (images since then) / (1000 kimg) if r_t is above the target, and falls by as much if it is below;
    it stays in [0, 1]. Reals count once an update, whatever passes penalties add. A subclass implements `forward`
    with `chance(context)`.

    p: the first probability; with target=null a fixed one, which may be a `Ramp`.
    target: of r_t, or null.
    kimg: thousands of images over which p can rise from 0 to 1.
    """

    log_name: ClassVar[str] = "augment/p"
    """The name of p in the log."""

    probability: Tensor
    sums: Tensor  # the sum of signs and the number of reals of this rank, since the last step
    totals: Tensor  # the same over all ranks, since the last adjustment
    updates: Tensor

    def __init__(
        self,
        p: Probability | Ramp = 0.0,
        target: float | None = 0.6,
        kimg: PositiveFloat = 500,
        every: PositiveInt = 4,
    ):
        super().__init__()
        name = type(self).__name__
        require_probability(self, p=p)
        if target is not None and isinstance(p, Ramp):
            raise UserError(
                f"{name}: p={p} is a ramp, and target={target} controls p: set target=null, or give a number"
            )
        if target is not None and not -1 < target < 1:
            raise UserError(f"{name}: target={target} of the mean sign: set it between -1 and 1, or null")
        if not kimg > 0 or every < 1:
            raise UserError(
                f"{name}: kimg={kimg}, every={every}: set kimg above 0, and every to at least 1 update of D"
            )
        self.p, self.target, self.kimg, self.every = p, target, kimg, every
        first = bounds(p)[0]
        self.register_buffer("probability", torch.tensor(first, dtype=torch.float64))
        self.register_buffer("totals", torch.zeros(2, dtype=torch.float64))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self.register_buffer("sums", torch.zeros(2, dtype=torch.float64), persistent=False)  # 0 between updates

    def chance(self, context: AugmentationInput) -> Any:
        """Return p: a scalar on the device, or a float."""
        return value_at(self.p, context.progress.images_seen) if self.target is None else self.probability

    def check(self, objective: Any) -> None:
        super().check(objective)
        if self.target is None and bounds(self.p)[1] > 0.8:
            log.warning("%s: p=%s: augmentations leak into the fakes if p is close to 1", type(self).__name__, self.p)

    def update(self, step: Step) -> None:
        if self.target is None:
            if isinstance(self.p, Ramp):
                step.log(self.log_name, value_at(self.p, step.progress.images_seen))
            return
        assert step.real.out is not None
        mean_sign = mean_logits(step.real.out.logits).detach().sign().mean()
        number = len(step.real.images)
        self.sums[0].add_(mean_sign * number)
        self.sums[1].add_(number)
        step.log("augment/r_t", mean_sign)
        step.log(self.log_name, self.probability.clone())

    def after_step(self, player: Player) -> None:
        if player != "discriminator" or self.target is None:
            return
        self.totals.add_(all_reduce_mean(self.sums) * rank_and_world_size()[1])
        self.sums.zero_()
        self.updates.add_(1)
        is_due = self.updates % self.every == 0
        signs, images = self.totals
        change = (signs / images - self.target).sign() * images / (1000 * self.kimg)
        self.probability.copy_(torch.where(is_due, self.probability + change, self.probability).clamp(0, 1))
        self.totals.mul_(~is_due)
