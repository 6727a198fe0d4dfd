"""Averages of the generator's weights, updated once a round."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.distributed.sharding import local
from gan_research.networks import Generator
from gan_research.networks.base import require_one_of
from gan_research.sampling.standing import require_statistics, statistics_of
from gan_research.utils.errors import UserError, require
from gan_research.utils.lightning_compat import lerp_
from gan_research.utils.power_functions import decay_at, exponent, require_profile
from gan_research.utils.ramps import Positive, bounds, value_at
from gan_research.utils.ranges import Fraction

Buffers = Literal["copy", "average", "recompute"]

Tensors = tuple[list[Tensor], list[Tensor]]  # of a network: those that are averaged, and those that are copied


class WeightAverage(ABC):
    """The update average <- decay * average + (1 - decay) * weights, once a round.

    There may be several averages. Running statistics of batch norm belong to weights. buffers: "copy" those of the
    generator; "average" them like weights, as Brock et al. (2019) and StudioGAN do; "recompute" them for the average
    before it is used, as the mean over `recompute_batches` batches of fresh samples, a function of (seed, round). All
    other buffers are copied: the average of unit vectors of spectral norm isn't one, and their error changes the
    singular value in second order only.
    """

    profiles: tuple[float, ...] = ()
    """The profiles of averages of power functions; the first one is sampled."""
    snapshot_every: int | None = None

    def __init__(self, buffers: Buffers = "copy", recompute_batches: PositiveInt = 16):
        require_one_of(get_args(Buffers), **{"ema.buffers": buffers})
        require(1, **{"ema.recompute_batches": recompute_batches})
        self.buffers, self.recompute_batches = buffers, recompute_batches

    @property
    def name(self) -> float | bool:
        """The sampled average in the protocol of an evaluation: its profile, or True."""
        return self.profiles[0] if self.profiles else True

    @abstractmethod
    def decays(self, round: int, images: int, images_seen: int) -> Sequence[float]:
        """Return the decay of each average in a round 1, 2, ...

        images: its real images; images_seen: those of all rounds up to its end.
        """

    def copies(self, generator: Generator) -> list[Generator]:
        """Return new averages, copies of the generator; UserError without statistics to recompute."""
        if self.buffers == "recompute":
            require_statistics(generator, "ema.buffers=recompute")
        return [copy.deepcopy(generator).requires_grad_(False).eval() for _ in self.profiles or [None]]

    def tensors(self, network: nn.Module) -> Tensors:
        """Return the tensors of a network that are averaged, and those that are copied."""
        statistics = statistics_of(network) if self.buffers != "copy" else []
        own = {id(tensor) for tensor in statistics}
        others = [buffer for buffer in network.buffers() if id(buffer) not in own]
        parameters = [local(p) for p in network.parameters()]
        return [*parameters, *(statistics if self.buffers == "average" else [])], others

    def after_round(self, averages: list[Tensors], network: Tensors, round: int, images: int, images_seen: int) -> None:
        """Update each average after a round of training."""
        for average, decay in zip(averages, self.decays(round, images, images_seen), strict=True):
            self.update(average, network, decay)

    @torch.no_grad()
    def update(self, average: Tensors, network: Tensors, decay: float) -> None:
        """Move an average towards the network by one round."""
        lerp_(average[0], network[0], 1 - decay)
        for averaged, current in zip(average[1], network[1], strict=True):
            averaged.copy_(current)


class EMA(WeightAverage):
    """The exponential moving average (Yazici et al. 2019).

    Specify `decay` per round, or `half_life_kimg`: then decay = 0.5 ** (images of the round / half-life), which doesn't
    depend on the batch size (Karras et al. 2020). `ramp_up` limits the half-life to this fraction of the images seen so
    far, so that the average forgets the initial weights (0.05 in StyleGAN2-ADA; needs `half_life_kimg`). The half-life
    may be a `Ramp`, from 0 kimg in R3GAN: the average is then a copy at first.
    start: the number of rounds after which averaging begins; until then the average is a copy (1,000 in StudioGAN).
    buffers, recompute_batches: see `WeightAverage`.
    """

    def __init__(
        self,
        decay: Fraction | None = None,
        half_life_kimg: Positive | None = None,
        ramp_up: PositiveFloat | None = None,
        start: NonNegativeInt = 0,
        buffers: Buffers = "copy",
        recompute_batches: PositiveInt = 16,
    ):
        super().__init__(buffers, recompute_batches)
        if (decay is None) == (half_life_kimg is None):
            raise UserError("ema: give either ema.decay (per round) or ema.half_life_kimg")
        if decay is not None and not 0 <= decay < 1:
            raise UserError(f"ema.decay={decay}: give a number from 0 up to, not including, 1")
        if half_life_kimg is not None and bounds(half_life_kimg)[0] < 0:
            raise UserError(f"ema.half_life_kimg={half_life_kimg}: give a positive one")
        if ramp_up is not None and half_life_kimg is None:
            raise UserError("ema.ramp_up needs ema.half_life_kimg")
        require(0, **{"ema.start": start})
        self.decay, self.half_life_kimg, self.ramp_up, self.start = decay, half_life_kimg, ramp_up, start

    def decays(self, round: int, images: int, images_seen: int) -> Sequence[float]:
        return [self.decay_at(images, images_seen) if round > self.start else 0.0]

    def decay_at(self, images: int, images_seen: int) -> float:
        """Return the decay of a round of `images` real images, with `images_seen` at its end."""
        if self.half_life_kimg is None:
            assert self.decay is not None
            return self.decay
        half_life = float(value_at(self.half_life_kimg, images_seen - images)) * 1000
        if self.ramp_up is not None:
            half_life = min(half_life, self.ramp_up * images_seen)
        return 0.5 ** (images / max(half_life, 1e-8))


class PowerEMA(WeightAverage):
    """Averages with weights t^gamma of round t: decay = (1 - 1 / t)^(gamma + 1).

    Karras et al. 2024 (EDM2). profiles: the relative standard deviation of each, such as 0.05: its weights
    are spread over 5 % of the training so far. The first one is sampled in training. snapshot_every: rounds between two
    snapshots of all of them in the run's folder, from which any other is reconstructed (`load(run, ema=0.07)`).
    buffers, recompute_batches: see `WeightAverage`.
    """

    def __init__(
        self,
        profiles: Sequence[PositiveFloat] = (0.05, 0.1),
        snapshot_every: PositiveInt = 500,
        buffers: Buffers = "average",
        recompute_batches: PositiveInt = 16,
    ):
        super().__init__(buffers, recompute_batches)
        require(1, **{"ema.snapshot_every": snapshot_every})
        if not profiles or len(set(profiles)) < len(profiles):
            raise UserError(f"ema.profiles={list(profiles)}: give at least one, each once")
        for sigma in profiles:
            require_profile(sigma, "ema.profiles:")
        self.profiles, self.snapshot_every = tuple(profiles), snapshot_every
        self.exponents = [exponent(sigma) for sigma in profiles]

    def decays(self, round: int, images: int, images_seen: int) -> Sequence[float]:
        return [decay_at(round, gamma) for gamma in self.exponents]
