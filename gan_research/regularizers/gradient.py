"""Penalties on the gradient of the discriminator in its input: each logit's in its image or pack."""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from gan_research.distributed import all_reduce_mean, rank_and_world_size
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative


class R1(Regularizer):
    """weight / 2 * ||grad D(x)||^2 at real images (Mescheder et al. 2018, equation 9)."""

    needs_input_grad: tuple[Literal["real", "fake"], ...] = ("real",)

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1):
        super().__init__(weight, every)

    def penalty(self, step: Step) -> Tensor:
        return 0.5 * squared_norm(step.input_gradient(self.needs_input_grad[0]))


class R2(R1):
    """weight / 2 * ||grad D(G(z))||^2 at fake images (Mescheder et al. 2018, equation 10)."""

    needs_input_grad = ("fake",)


class GradientPenalty(Regularizer):
    """WGAN-GP: weight * (||grad D(y)|| - 1)^2 at y between reals and fakes (Gulrajani et al. 2017, eq. 3).

    sided: "one" penalizes only norms above 1, max(0, ||grad D(y)|| - 1)^2 (their section 4; Petzka et al. 2018).
    """

    keeps_lipschitz = True

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1, sided: Literal["two", "one"] = "two"):
        super().__init__(weight, every)
        if sided not in ("two", "one"):
            raise UserError(f"gradient_penalty: sided={sided}: set it to two or one")
        self.sided = sided

    def penalty(self, step: Step) -> Tensor:
        excess = norm(step.gradient_at(interpolated(step, "gradient_penalty"))) - 1
        return (excess if self.sided == "two" else excess.relu()).square()


class ZeroCentered(Regularizer):
    """weight * ||grad D(y)||^2 at y between real and fake images (Thanh-Tung et al. 2019, ICLR)."""

    keeps_lipschitz = True

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1):
        super().__init__(weight, every)

    def penalty(self, step: Step) -> Tensor:
        return squared_norm(step.gradient_at(interpolated(step, "zero_centered")))


class DRAGAN(Regularizer):
    """weight * (||grad D(x + a * delta)|| - 1)^2 around real images (Kodali et al. 2017, section 2.3).

    delta = spread * std(x) * u with u uniform on [0, 1) per pixel, a uniform per image, as in the authors' code (the
    paper's text has Gaussian noise). std(x) is over all values of the minibatch, on all ranks.
    """

    couples_batch = True

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1, spread: NonNegativeFloat = 0.5):
        super().__init__(weight, every)
        self.spread = spread

    def penalty(self, step: Step) -> Tensor:
        real = step.real.images.detach()
        noise = step.noise.uniform("dragan_noise", *real.shape[1:])
        points = real + step.mixing_weights("dragan_step") * self.spread * standard_deviation(real) * noise
        return (norm(step.gradient_at(points)) - 1).square()


def interpolated(step: Step, purpose: str) -> Tensor:
    """Return points on the lines from fakes to reals (N, C, H, W)."""
    return step.fake.images.lerp(step.real.images, step.mixing_weights(purpose))


def standard_deviation(values: Tensor) -> Tensor:
    """Return the standard deviation over all ranks, which have equally many values; without gradient."""
    if (world_size := rank_and_world_size()[1]) == 1:
        return values.std()
    centered = values - all_reduce_mean(values.mean())
    count = world_size * values.numel()
    return (all_reduce_mean(centered.square().mean()) * count / (count - 1)).sqrt()


def squared_norm(gradients: Tensor) -> Tensor:
    """Return the squared L2 norm of each row: (N, ...) -> (N,)."""
    return gradients.flatten(1).square().sum(1)


def norm(gradients: Tensor) -> Tensor:
    """Return the L2 norm of each row, with a finite derivative at 0: (N, ...) -> (N,)."""
    return (squared_norm(gradients) + 1e-12).sqrt()
