"""Penalties on the gradient of the discriminator in its input, of each logit in its image or its pack."""

from typing import Literal

from torch import Tensor

from gan_research.distributed import mean_of_all, position
from gan_research.regularizers.base import Play, Regularizer
from gan_research.utils.errors import UserError


class R1(Regularizer):
    """weight / 2 * ||grad D(x)||^2 at real images (Mescheder et al. 2018, equation 9)."""

    differentiates = ("real",)

    def __init__(self, weight: float = 10.0, every: int = 1):
        super().__init__(weight, every)

    def discriminator_penalty(self, play: Play) -> Tensor:
        return 0.5 * squared_norm(play.input_gradient("real"))


class R2(Regularizer):
    """weight / 2 * ||grad D(G(z))||^2 at fake images (Mescheder et al. 2018, equation 10)."""

    differentiates = ("fake",)

    def __init__(self, weight: float = 10.0, every: int = 1):
        super().__init__(weight, every)

    def discriminator_penalty(self, play: Play) -> Tensor:
        return 0.5 * squared_norm(play.input_gradient("fake"))


class GradientPenalty(Regularizer):
    """WGAN-GP: weight * (||grad D(y)|| - 1)^2 at y between a real and a fake image (Gulrajani et al. 2017, eq. 3).

    sided: "one" penalises only norms above 1, max(0, ||grad D(y)|| - 1)^2 (their section 4; Petzka et al. 2018).
    """

    def __init__(self, weight: float = 10.0, every: int = 1, sided: Literal["two", "one"] = "two"):
        super().__init__(weight, every)
        if sided not in ("two", "one"):
            raise UserError(f"gradient_penalty: sided={sided}: give two or one")
        self.sided = sided

    def discriminator_penalty(self, play: Play) -> Tensor:
        excess = norm(play.gradient_at(between(play, "gradient_penalty"))) - 1
        return (excess if self.sided == "two" else excess.relu()).square()


class ZeroCentered(Regularizer):
    """weight * ||grad D(y)||^2 at y between a real and a fake image (Thanh-Tung et al. 2019, ICLR)."""

    def __init__(self, weight: float = 10.0, every: int = 1):
        super().__init__(weight, every)

    def discriminator_penalty(self, play: Play) -> Tensor:
        return squared_norm(play.gradient_at(between(play, "zero_centered")))


class DRAGAN(Regularizer):
    """weight * (||grad D(x + a * delta)|| - 1)^2 around real images (Kodali et al. 2017, section 2.3).

    delta = spread * std(x) * u with u uniform on [0, 1) per pixel, a uniform per image, as the authors' code draws
    them (the paper's text has Gaussian noise). std(x) is over all values of the micro-batch, on all devices.
    """

    def __init__(self, weight: float = 10.0, every: int = 1, spread: float = 0.5):
        super().__init__(weight, every)
        self.spread = spread

    def discriminator_penalty(self, play: Play) -> Tensor:
        real = play.real.detach()
        noise = play.draws.uniform("dragan_noise", *real.shape[1:])
        points = real + play.share("dragan_step") * self.spread * deviation(real) * noise
        return (norm(play.gradient_at(points)) - 1).square()


def between(play: Play, purpose: str) -> Tensor:
    """Points on the lines from fakes to reals: (N, C, H, W)."""
    return play.fake.lerp(play.real, play.share(purpose))


def deviation(values: Tensor) -> Tensor:
    """The standard deviation of all values, over the equal shares of all processes; a scalar without a gradient."""
    processes = position()[1]
    if processes == 1:
        return values.std()
    centred = values - mean_of_all(values.mean())
    count = processes * values.numel()
    return (mean_of_all(centred.square().mean()) * count / (count - 1)).sqrt()


def squared_norm(gradients: Tensor) -> Tensor:
    """(N, ...) -> (N,)."""
    return gradients.flatten(1).square().sum(1)


def norm(gradients: Tensor) -> Tensor:
    """(N, ...) -> (N,), with a finite derivative at 0."""
    return (squared_norm(gradients) + 1e-12).sqrt()
