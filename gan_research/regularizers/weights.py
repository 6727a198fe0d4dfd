"""Penalties and constraints on weights."""

from collections.abc import Iterator

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.losses.base import PLAYERS, Player
from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.step import Step
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import NonNegative

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
MATRICES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)


class Orthogonal(Regularizer):
    """weight * sum over W of ||W W^T * (1 - I)||_F^2, * elementwise (Brock et al. 2019, BigGAN, equation 3).

    W is the weight of a linear or convolution layer, a row for each output unit or channel: rows are pulled towards
    orthogonality, at any length. (W W^T is from the authors' code; the paper has W^T W.) Embeddings are excluded; under
    spectral normalization W is the weight before it.

    players: the players whose weights are penalized.
    """

    def __init__(
        self,
        weight: NonNegative = 1e-4,
        every: PositiveInt = 1,
        players: tuple[Player, ...] = ("discriminator", "generator"),
    ):
        super().__init__(weight, every)
        if not players or not set(players) <= set(PLAYERS):
            raise UserError(f"orthogonal: players={list(players)}: set discriminator, generator or both")
        self.players = tuple(players)

    def penalty(self, step: Step) -> Tensor:
        products = [matrix @ matrix.T for matrix in matrices(step.networks[step.player])]
        return torch.stack([(p - p.diagonal().diag()).square().sum() for p in products]).sum()


def matrices(network: nn.Module) -> Iterator[Tensor]:
    """Yield the weights of linear and convolution layers, each as (out, everything else)."""
    for layer in network.modules():
        if isinstance(layer, MATRICES):
            parameters = dict(layer.named_parameters())
            weight = parameters.get("weight", parameters.get("parametrizations.weight.original"))
            assert weight is not None
            yield (weight.transpose(0, 1) if isinstance(layer, TRANSPOSED) else weight).flatten(1)


class WeightClipping(Regularizer):
    """A clamp of the discriminator's parameters to [-limit, limit] after each of its steps.

    Frozen parameters are left as they are. The Lipschitz constraint of Arjovsky et al. 2017, Algorithm 1.
    """

    players = ()
    keeps_lipschitz = True

    def __init__(self, limit: PositiveFloat = 0.01):
        super().__init__()
        if limit <= 0:
            raise UserError(f"weight_clipping: limit={limit}: set a positive limit")
        self.limit = limit

    def after_step(self, player: Player, network: nn.Module) -> None:
        if player == "discriminator":
            for parameter in (p for p in network.parameters() if p.requires_grad):
                parameter.detach().clamp_(-self.limit, self.limit)
