"""Penalties and constraints on weights."""

from collections.abc import Iterator

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.distributed.sharding import local
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
    orthogonality, at any length. (W W^T is from the authors' code; the paper has W^T W.) Under spectral normalization W
    is the weight before it. The authors' code adds half of this gradient: its 1e-4 is a weight of 5e-5 here.

    players: the players whose weights are penalized.
    embeddings: penalize also the discriminator's embeddings of classes, as the authors' code does; never the
        generator's, which it leaves out.
    """

    reads = ()
    reads_weights = True

    def __init__(
        self,
        weight: NonNegative = 1e-4,
        every: PositiveInt = 1,
        own_step: bool = False,
        players: tuple[Player, ...] = ("discriminator", "generator"),
        embeddings: bool = False,
    ):
        super().__init__(weight, every, own_step)
        if not players or not set(players) <= set(PLAYERS):
            raise UserError(f"orthogonal: players={list(players)}: set discriminator, generator or both")
        self.players, self.embeddings = tuple(players), embeddings

    def penalty(self, step: Step) -> Tensor:
        kinds = (*MATRICES, nn.Embedding) if self.embeddings and step.player == "discriminator" else MATRICES
        products = [matrix @ matrix.T for matrix in matrices(step.networks[step.player], kinds)]
        return torch.stack([(p - p.diagonal().diag()).square().sum() for p in products]).sum()


def matrices(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> Iterator[Tensor]:
    """Yield the weights of layers of `kinds`, each as (out, everything else)."""
    for layer in network.modules():
        if isinstance(layer, kinds):
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
                local(parameter.detach()).clamp_(-self.limit, self.limit)
