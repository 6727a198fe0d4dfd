"""The multi-class hinge loss of Kavalerov et al. 2021, "A multi-class hinge loss for conditional GANs" (MHGAN)."""

from dataclasses import replace
from typing import Any

import torch
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn.functional import relu

from gan_research.losses.divergences import total_variation
from gan_research.losses.hinge import Hinge
from gan_research.losses.theory import Functional, Theory
from gan_research.utils.errors import require


class MultiHinge(Hinge):
    """The hinge loss of a D with a logit for each class and for fakes.

    The last logit is the one for fakes. D: CS(x, y) + CS(G(z), fake); G: generator_weight * CS(G(z), y), where CS is
    `crammer_singer`. The paper adds feature matching to G's loss. Requires "hinge_logits", such as `MultiHingeHead`'s.

    As functions of logits (N,), both are the losses with a single class, whose logit is its margin over fakes.
    """

    needs_extras = ("hinge_logits",)
    relativistic_base = False

    def __init__(self, generator_weight: NonNegativeFloat = 0.05):
        require(0, **{"loss.generator_weight": generator_weight})
        self.generator_weight = generator_weight

    def generator(self, fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        return self.generator_weight * self.real_term(fake_logits)

    def of_discriminator(self, real: Any, fake: Any) -> Tensor:
        on_fakes = fake.out.extras["hinge_logits"]
        as_fake = torch.full_like(fake.condition, on_fakes.shape[1] - 1)
        return crammer_singer(real.out.extras["hinge_logits"], real.condition) + crammer_singer(on_fakes, as_fake)

    def of_generator(self, fake: Any, real: Any | None = None) -> Tensor:
        return self.generator_weight * crammer_singer(fake.out.extras["hinge_logits"], fake.condition)

    def theory(self) -> Theory:
        scale = 2 * self.generator_weight
        return replace(
            super().theory(), descends=Functional(f"{scale:g} TV", lambda p, q: scale * total_variation(p, q))
        )


def crammer_singer(logits: Tensor, labels: Tensor) -> Tensor:
    """Return max(0, 1 + max of l_j over j other than y, minus l_y) of logits (N, K) and labels (N,): (N,)."""
    own = labels[:, None] == torch.arange(logits.shape[1], device=logits.device)
    right = logits.gather(1, labels[:, None]).squeeze(1)
    return relu(1 + logits.masked_fill(own, -torch.inf).amax(1) - right)
