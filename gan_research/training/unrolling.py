"""Unrolled steps of the discriminator inside the generator's update."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from gan_research.distributed import all_reduce_mean
from gan_research.losses import AdversarialLoss
from gan_research.utils.errors import UserError
from gan_research.utils.ranges import Fraction

Tensors = Mapping[str, Tensor]

EPSILON = 1e-8  # of Adam


class Unrolling:
    """The generator descends f(theta_G, theta_D^K), the value after K steps of D (Metz et al. 2017).

    theta_D^K follows from D's parameters by K steps on its adversarial loss, without regularizers, on the minibatch and
    the noise of the update, and G's gradient goes through them. D itself stays as it is. In G's update, D is
    theta_D^K everywhere, in float32 and uncompiled.

    steps: K; 0 leaves the game as it is.
    optimizer: "adam", whose moments start at 0 and are unrolled too (the authors' code starts from D's own), or "sgd".
    lr, betas: those of the steps; "sgd" has no betas. The defaults are the authors' for rings.
    descends: "value", minus D's loss, reals included; "loss", G's own loss at theta_D^K, for losses whose G doesn't
        descend the value.
    """

    couples_batch = True

    def __init__(
        self,
        steps: NonNegativeInt = 5,
        optimizer: Literal["adam", "sgd"] = "adam",
        lr: PositiveFloat = 1e-4,
        betas: tuple[Fraction, Fraction] = (0.5, 0.999),
        descends: Literal["value", "loss"] = "value",
    ):
        for name, value, valid in (
            ("steps", steps, steps >= 0),
            ("optimizer", optimizer, optimizer in ("adam", "sgd")),
            ("lr", lr, lr > 0),
            ("betas", betas, len(betas) == 2 and all(0 <= beta < 1 for beta in betas)),
            ("descends", descends, descends in ("value", "loss")),
        ):
            if not valid:
                allowed = "steps >= 0, optimizer=adam or sgd, lr > 0, 0 <= betas < 1, descends=value or loss"
                raise UserError(f"unrolling: {name}={value}: set {allowed}")
        self.steps, self.optimizer, self.lr, self.betas, self.descends = steps, optimizer, lr, tuple(betas), descends

    def check(self, objective: Any) -> None:
        """Raise a UserError if unrolling doesn't support the `Objective`."""
        if self.descends == "value" and not is_zero_sum(objective.loss):
            raise UserError(
                f"unrolling.descends=value: the generator's {type(objective.loss).__name__} isn't minus the "
                "discriminator's: set loss=minimax, or unrolling.descends=loss"
            )
        if objective.crosses_players["generator"]:
            crossing = next(r for _, r in objective.penalties["generator"] if r.crosses_players)
            raise UserError(
                f"{type(crossing).__name__} differentiates D's own parameters, which unrolling replaces: set "
                "unrolling=none, or remove it from regularizer="
            )

    def __call__(self, loss: Callable[[Tensors], Tensor], parameters: Tensors) -> Tensors:
        """Return the parameters after the steps, differentiable in whatever `loss` depends on.

        loss: parameters -> D's mean loss on this rank; gradients are averaged over the ranks.
        """
        values = [p.detach().requires_grad_() for p in parameters.values()]
        first = second = [torch.zeros_like(p) for p in values]
        for number in range(1, self.steps + 1):
            value = loss(dict(zip(parameters, values, strict=True)))
            gradients = torch.autograd.grad(value, values, create_graph=True, materialize_grads=True)
            slopes = [all_reduce_mean(gradient) for gradient in gradients]
            if self.optimizer == "adam":
                first = [m.lerp(g, 1 - self.betas[0]) for m, g in zip(first, slopes, strict=True)]
                second = [v.lerp(g.square(), 1 - self.betas[1]) for v, g in zip(second, slopes, strict=True)]
                bias = [1 - beta**number for beta in self.betas]
                # epsilon under the root: the derivative of sqrt(v) is infinite where a gradient is 0
                slopes = [(m / bias[0]) / (v / bias[1] + EPSILON**2).sqrt() for m, v in zip(first, second, strict=True)]
            values = [p - self.lr * slope for p, slope in zip(values, slopes, strict=True)]
        return dict(zip(parameters, values, strict=True))


def is_zero_sum(loss: AdversarialLoss) -> bool:
    """Return whether G descends what D ascends, as functions of the fakes' logits."""
    real = torch.linspace(-2, 3, 7, dtype=torch.float64)
    fake = real.flip(0).requires_grad_()
    of_d, of_g = loss.discriminator(real, fake), loss.generator(fake, real)
    slopes = [torch.autograd.grad(x.mean(), fake, materialize_grads=True)[0] for x in (of_d, of_g)]
    return torch.allclose(slopes[0], -slopes[1])
