"""Consistency: D's output changes little with its images, or with G's latents."""

from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.networks.base import DOutput
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import OwnSide, Step, mean_logits
from gan_research.regularizers.views import flip_and_shift
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative
from gan_research.utils.ranges import Fraction


class CR(Regularizer):
    """weight * ((D(x) - D(T(x)))^2 + fakes * (D(G(z)) - D(T(G(z))))^2) for D (CR, bCR).

    T flips images at random and shifts them (`flip_and_shift`). CR takes reals only (Zhang et al. 2020, "Consistency
    regularization for GANs"); bCR, with fakes=1, both sides (Zhao et al. 2021, "Improved consistency regularization for
    GANs").

    fakes: weight of the fakes relative to that of the reals. shift: the largest shift, as a share of the size.
    extras: outputs of D's head whose mean squared change is added to that of the logit, such as class_logits.
    """

    full_precision = False

    def __init__(
        self,
        weight: NonNegative = 10.0,
        every: PositiveInt = 1,
        own_step: bool = False,
        fakes: NonNegativeFloat = 0.0,
        shift: Fraction = 0.125,
        extras: tuple[str, ...] = (),
    ):
        super().__init__(weight, every, own_step)
        if not 0 <= shift < 1:
            raise UserError(f"cr: shift={shift}: set it to at least 0 and less than 1")
        self.fakes, self.shift, self.needs_extras = fakes, shift, tuple(extras)

    def check(self, objective: Any) -> None:
        if getattr(getattr(objective.networks["discriminator"], "samples", None), "resolution", None) is None:
            raise UserError("cr flips and shifts images, and these data are points: remove it from regularizer=")

    def penalty(self, step: Step) -> Tensor:
        changes = self._change(step, "real")
        return changes + self.fakes * self._change(step, "fake") if self.fakes else changes

    def _change(self, step: Step, name: OwnSide) -> Tensor:
        side = step.side(name)
        views = flip_and_shift(side.images.detach(), step.noise, f"cr_{name}", self.shift)
        return squared_change(side.out, step.D(views, side=name, repeat=True), self.needs_extras)


class ZCR(Regularizer):
    """zCR: D changes little with the latent, and G much (Zhao et al. 2021, Algorithm 2).

    D minimizes weight * discriminator * (D(G(z)) - D(G(z + d)))^2, and G minimizes -weight * generator * (the mean over
    pixels of (G(z) - G(z + d))^2), with d = sigma * N(0, I). The paper's values depend on the network; the defaults are
    StudioGAN's.

    discriminator, generator: weights of the players' terms. sigma: standard deviation of the latents' change.
    extras: outputs of D's head whose mean squared change is added to that of the logit, such as class_logits.
    """

    players = ("discriminator", "generator")
    full_precision = False

    def __init__(
        self,
        weight: NonNegative = 1.0,
        every: PositiveInt = 1,
        own_step: bool = False,
        discriminator: NonNegativeFloat = 20.0,
        generator: NonNegativeFloat = 0.5,
        sigma: PositiveFloat = 0.05,
        extras: tuple[str, ...] = (),
    ):
        super().__init__(weight, every, own_step)
        if sigma <= 0:
            raise UserError(f"zcr: sigma={sigma}: set a positive one")
        self.discriminator, self.generator, self.sigma = discriminator, generator, sigma
        self.needs_extras = tuple(extras)

    def penalty(self, step: Step) -> Tensor:
        near = step.latents + self.sigma * step.noise.normal("zcr", *step.latents.shape[1:])
        if step.player == "generator":
            return -self.generator * (step.fake.images - step.G(near)).square().flatten(1).mean(1)
        with torch.no_grad():
            images = step.G(near)
        out = step.D(images, side="fake", repeat=True)
        return self.discriminator * squared_change(step.fake.out, out, self.needs_extras)


def squared_change(before: DOutput | None, after: DOutput, extras: tuple[str, ...]) -> Tensor:
    """Return the squared change of each logit, plus those of extras, their mean: (N,)."""
    assert before is not None
    pairs = [(before.logits, after.logits), *((before.extras[name], after.extras[name]) for name in extras)]
    return torch.stack([mean_logits((a - b).square()) for a, b in pairs]).sum(0)
