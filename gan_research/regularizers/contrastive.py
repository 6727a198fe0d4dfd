"""Contrastive terms of class-conditional games: 2C of ContraGAN and D2D-CE of ReACGAN.

Both compare each sample's embedding with the proxy of its class and with the other embeddings of the whole minibatch:
each rank takes the losses of its own samples, the anchors, against the columns of all ranks, with their gradients.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from gan_research.distributed import gather_of_all, rank_and_world_size
from gan_research.losses.base import Player
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Side, Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative


class Similarities(NamedTuple):
    """The similarities of n anchors, as inner products of embeddings.

    proxy: (n,), with the proxy of the anchor's class. samples: (n, M), with all samples. same, others: (n, M) bool,
    the samples of the anchor's class without itself, and of other classes.
    """

    proxy: Tensor
    samples: Tensor
    same: Tensor
    others: Tensor


def similarities(embeddings: Tensor, proxies: Tensor, labels: Tensor) -> Similarities:
    """Return the similarities of this rank's samples (n, F), their proxies (n, F) and labels (n,)."""
    columns, classes = gather_of_all(embeddings), gather_of_all(labels)
    numbers = torch.arange(len(columns), device=columns.device)
    own = numbers == rank_and_world_size()[0] * len(embeddings) + numbers[: len(embeddings), None]
    same = labels[:, None] == classes
    return Similarities((embeddings * proxies).sum(1), embeddings @ columns.T, same & ~own, ~same)


def conditional_contrastive(of: Similarities, temperature: float) -> Tensor:
    """Return the 2C loss (n,): -log of the share of the proxy and of same-class samples in all similarities."""
    proxy, samples = of.proxy[:, None] / temperature, of.samples / temperature
    positive = torch.cat([proxy, samples.where(of.same, -torch.inf)], 1)
    every = torch.cat([proxy, samples.where(of.same | of.others, -torch.inf)], 1)
    return every.logsumexp(1) - positive.logsumexp(1)


def data_to_data_cross_entropy(
    of: Similarities, temperature: float, positive_margin: float, published_code: bool = False
) -> Tensor:
    """Return the D2D-CE loss (n,): -log of the proxy's share in itself and the samples of other classes.

    Similarities count below the margin with the proxy, and above 1 - margin with samples. published_code: as in
    StudioGAN, the largest similarity of each row, of any class and without a gradient, is subtracted from the samples',
    but not from the proxy's.
    """
    proxy = (of.proxy - positive_margin).clamp_max(0) / temperature
    samples = (of.samples - (1 - positive_margin)) / temperature
    pushed = samples.clamp_min(0)
    if published_code:
        pushed = pushed - samples.detach().where(of.same | of.others, -torch.inf).amax(1, keepdim=True)
    negative = pushed.where(of.others, -torch.inf)
    return torch.cat([proxy[:, None], negative], 1).logsumexp(1) - proxy


class Contrastive(Regularizer, ABC):
    """The base of terms on the similarities of D's embeddings.

    Requires a head that provides "embedding" and "proxy", such as `EmbeddingHead`.
    """

    players: tuple[Player, ...] = ("discriminator", "generator")
    needs_extras = ("embedding", "proxy")
    couples_batch = True

    def __init__(self, weight: NonNegative, every: PositiveInt, own_step: bool, temperature: PositiveFloat):
        super().__init__(weight, every, own_step)
        if not temperature > 0:
            raise UserError(f"{type(self).__name__}: temperature={temperature}: set a positive one")
        self.temperature = temperature

    def penalty(self, step: Step) -> Tensor:
        side: Side = step.own_side
        assert side.out is not None
        embeddings, proxies = (side.out.extras[name] for name in self.needs_extras)
        return self.losses(similarities(embeddings, proxies, side.condition))

    @abstractmethod
    def losses(self, of: Similarities) -> Tensor:
        """Return the loss (n,) of each anchor."""


class ConditionalContrastive(Contrastive):
    """weight * the 2C loss (ContraGAN, Kang & Park 2020, equation 8), of reals for D and of fakes for G."""

    def __init__(
        self,
        weight: NonNegative = 1.0,
        every: PositiveInt = 1,
        own_step: bool = False,
        temperature: PositiveFloat = 1.0,
    ):
        super().__init__(weight, every, own_step, temperature)

    def losses(self, of: Similarities) -> Tensor:
        return conditional_contrastive(of, self.temperature)


class DataToDataCrossEntropy(Contrastive):
    """weight * the D2D-CE loss (ReACGAN, Kang et al. 2021), of reals for D, of fakes for G.

    positive_margin: similarity with the proxy that is enough; 1 - margin is harmless between classes.
    published_code: compute StudioGAN's loss, which isn't the paper's, see `data_to_data_cross_entropy`.
    """

    def __init__(
        self,
        weight: NonNegative = 0.5,
        every: PositiveInt = 1,
        own_step: bool = False,
        temperature: PositiveFloat = 0.5,
        positive_margin: float = 0.98,
        published_code: bool = False,
    ):
        super().__init__(weight, every, own_step, temperature)
        if not 0 <= positive_margin <= 1:
            raise UserError(f"{type(self).__name__}: positive_margin={positive_margin}: set it from 0 to 1")
        self.positive_margin, self.published_code = positive_margin, published_code

    def losses(self, of: Similarities) -> Tensor:
        return data_to_data_cross_entropy(of, self.temperature, self.positive_margin, self.published_code)
