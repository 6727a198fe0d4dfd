"""Penalties on the gradient of the discriminator in its input: each logit's in its image or pack."""

from typing import Any, ClassVar, Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.distributed import all_reduce_mean, gather_of_all, rank_and_world_size
from gan_research.networks.layers import spectral_norms
from gan_research.regularizers.base import Regularizer, RegularizerOfShare
from gan_research.regularizers.step import OwnSide, Step, mean_logits
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative
from gan_research.utils.ranges import PositiveFraction
from gan_research.utils.tf32 import temporarily

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)


class R1(Regularizer):
    """weight / 2 * ||grad D(x)||^2 at real images (Mescheder et al. 2018, equation 9)."""

    needs_input_grad: tuple[OwnSide, ...] = ("real",)
    reads: tuple[OwnSide, ...] = ("real",)

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1, own_step: bool = False):
        super().__init__(weight, every, own_step)

    def penalty(self, step: Step) -> Tensor:
        return 0.5 * squared_norm(step.input_gradient(self.needs_input_grad[0]))


class R2(R1):
    """weight / 2 * ||grad D(G(z))||^2 at fake images (Mescheder et al. 2018, equation 10)."""

    needs_input_grad = ("fake",)
    reads = ("fake",)


class ApproximateR1(RegularizerOfShare):
    """weight / 2 * ((D(x + sigma e) - D(x)) / sigma)^2 at real images, e ~ N(0, I).

    It is R1 by finite differences (Lin et al. 2025, "Diffusion adversarial post-training"): equal in expectation where
    D is linear, without second derivatives, so that D may be compiled and run in the precision of the run. Their weight
    of the undivided square is weight / (2 sigma^2). Choose sigma far above the rounding of images and logits.

    share: of the images, 1 / n for every n-th, in two passes of their own. A D with spectral norm has its own passes
        too, as a power iteration between two passes would change its weights.
    """

    full_precision = False
    reads: tuple[OwnSide, ...] = ("real",)
    of: ClassVar[OwnSide] = "real"

    def __init__(
        self,
        weight: NonNegative = 0.02,
        every: PositiveInt = 1,
        own_step: bool = False,
        sigma: PositiveFloat = 0.01,
        share: PositiveFraction = 1.0,
    ):
        super().__init__(weight, every, own_step, share)
        if sigma <= 0:
            raise UserError(f"{type(self).__name__}: sigma={sigma}: set a positive one")
        self.sigma = sigma

    def check(self, objective: Any) -> None:
        if self.stride > 1 and objective.augmentations:
            raise UserError(f"{type(self).__name__}: share={self.share} allows no augmentations: set share=1")
        layers = objective.networks["discriminator"].modules()
        if any(isinstance(layer, DROPOUTS) and layer.p > 0 for layer in layers):
            raise UserError(
                f"{type(self).__name__} compares two passes of the discriminator, which dropout makes differ: set "
                "discriminator.dropout=0, or regularizer=[r1]"
            )

    def penalty(self, step: Step) -> Tensor:
        images, condition, out = step.side(self.of)
        changes = self.sigma * step.noise.normal(f"approximate_gradient {self.of}", *images.shape[1:])
        images = images.detach()
        norms = spectral_norms(step.networks["discriminator"])
        if self.stride > 1:
            images, changes, condition = (self.some(v, step.packing) for v in (images, changes, condition))
        with temporarily([(norm, "training", False) for norm in norms]):  # both passes have the same weights
            if self.stride > 1 or norms:
                out = step.D(images, condition, self.of, repeat=True)
            moved = step.D(images + changes, condition, self.of, repeat=True)
        assert out is not None
        return 0.5 * (mean_logits(moved.logits - out.logits) / self.sigma).square()


class ApproximateR2(ApproximateR1):
    """weight / 2 * ((D(x + sigma * e) - D(x)) / sigma)^2 at fake images x = G(z)."""

    reads = ("fake",)
    of = "fake"


class GradientPenalty(Regularizer):
    """WGAN-GP: weight * (||grad D(y)|| - 1)^2 at y between reals and fakes (Gulrajani et al. 2017, eq. 3).

    sided: "one" penalizes only norms above 1, max(0, ||grad D(y)|| - 1)^2 (their section 4; Petzka et al. 2018).
    """

    keeps_lipschitz = True

    def __init__(
        self,
        weight: NonNegative = 10.0,
        every: PositiveInt = 1,
        own_step: bool = False,
        sided: Literal["two", "one"] = "two",
    ):
        super().__init__(weight, every, own_step)
        if sided not in ("two", "one"):
            raise UserError(f"gradient_penalty: sided={sided}: set it to two or one")
        self.sided = sided

    def penalty(self, step: Step) -> Tensor:
        excess = norm(step.gradient_at(interpolated(step, "gradient_penalty"))) - 1
        return (excess if self.sided == "two" else excess.relu()).square()


class ZeroCentered(Regularizer):
    """weight * ||grad D(y)||^2 at y between real and fake images (Thanh-Tung et al. 2019, ICLR)."""

    keeps_lipschitz = True

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1, own_step: bool = False):
        super().__init__(weight, every, own_step)

    def penalty(self, step: Step) -> Tensor:
        return squared_norm(step.gradient_at(interpolated(step, "zero_centered")))


class DRAGAN(Regularizer):
    """weight * (||grad D(x + a * delta)|| - 1)^2 around real images (Kodali et al. 2017, section 2.3).

    delta = spread * std(x) * u with u uniform on [0, 1) per pixel, a uniform per image, as in the authors' code (the
    paper's text has Gaussian noise). std(x) is over all values of the minibatch, on all ranks.
    """

    couples_batch = True

    def __init__(
        self, weight: NonNegative = 10.0, every: PositiveInt = 1, own_step: bool = False, spread: NonNegativeFloat = 0.5
    ):
        super().__init__(weight, every, own_step)
        self.spread = spread

    def penalty(self, step: Step) -> Tensor:
        real = step.real.images.detach()
        noise = step.noise.uniform("dragan_noise", *real.shape[1:])
        points = real + step.mixing_weights("dragan_step") * self.spread * standard_deviation(real) * noise
        return (norm(step.gradient_at(points)) - 1).square()


class MaxGP(Regularizer):
    """weight * max ||grad D(y)||^2 over y between reals and fakes (Zhou et al. 2019, "Lipschitz GANs").

    The maximum is over the minibatch, on all ranks: the sample with the steepest D alone has a gradient.
    """

    couples_batch = True
    keeps_lipschitz = True

    def __init__(self, weight: NonNegative = 10.0, every: PositiveInt = 1, own_step: bool = False):
        super().__init__(weight, every, own_step)

    def penalty(self, step: Step) -> Tensor:
        return gather_of_all(squared_norm(step.gradient_at(interpolated(step, "max_gp")))).max(0).values


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
