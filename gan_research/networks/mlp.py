"""Fully connected networks, as in Goodfellow et al. 2014, "Generative adversarial nets", section 5."""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_research.errors import UserError
from gan_research.networks.base import Discriminator, Generator, require, require_one_of
from gan_research.networks.heads import make_head
from gan_research.networks.layers import Maxout, output_range

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": partial(nn.LeakyReLU, 0.2),
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class MLPGenerator(Generator):
    """`depth` hidden layers of `width` units, then one unit a value; depth = 0 is an affine map.

    If conditional, the labels join the latents one-hot (Mirza & Osindero 2014). Weights start as torch's do.
    Makes any resolution, and points (`resolution` None).
    """

    def __init__(
        self,
        latent_dim: int,
        resolution: int | None,
        channels: int,
        num_classes: int = 0,
        value_range: tuple[float, float] = (-1.0, 1.0),
        width: int = 256,
        depth: int = 2,
        activation: Literal["relu", "leaky_relu", "silu", "tanh"] = "relu",
    ) -> None:
        super().__init__(latent_dim, resolution, channels, num_classes, value_range)
        require(1, width=width)
        require(0, depth=depth)
        require_one_of(tuple(ACTIVATIONS), activation=activation)
        sizes = [latent_dim + num_classes, *[width] * depth]
        layers: list[nn.Module] = []
        for i in range(depth):
            layers += [nn.Linear(sizes[i], sizes[i + 1]), ACTIVATIONS[activation]()]
        layers += [nn.Linear(sizes[-1], math.prod(self.sample_shape)), output_range(value_range)]
        self.body = nn.Sequential(*layers)

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        if labels is not None:
            latents = torch.cat([latents, F.one_hot(labels, self.num_classes).to(latents.dtype)], dim=1)
        return self.body(latents).view(-1, *self.sample_shape)


class MLPDiscriminator(Discriminator):
    """`depth` hidden layers of `width` units over the flat image or point, then the head; depth = 0 is the head alone.

    `activation="maxout"` with dropout is Goodfellow's; there each unit is the largest of `maxout_pieces` affine maps.
    The others are the usual choices since. `dropout` is the probability of losing a hidden unit. Weights start as
    torch's do.
    """

    def __init__(
        self,
        resolution: int | None,
        channels: int,
        num_classes: int = 0,
        width: int = 256,
        depth: int = 2,
        activation: Literal["leaky_relu", "relu", "silu", "tanh", "maxout"] = "leaky_relu",
        maxout_pieces: int = 5,
        dropout: float = 0.0,
        packing: int = 1,
    ) -> None:
        super().__init__(resolution, channels, num_classes, packing)
        require(1, width=width, maxout_pieces=maxout_pieces)
        require(0, depth=depth)
        require_one_of((*ACTIVATIONS, "maxout"), activation=activation)
        if not 0 <= dropout < 1:
            raise UserError(f"dropout is {dropout}: it has to be at least 0 and below 1")
        sizes = [packing * math.prod(self.sample_shape), *[width] * depth]
        layers: list[nn.Module] = []
        for i in range(depth):
            if activation == "maxout":
                layers.append(Maxout(sizes[i], sizes[i + 1], maxout_pieces))
            else:
                layers += [nn.Linear(sizes[i], sizes[i + 1]), ACTIVATIONS[activation]()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.head = make_head(sizes[-1], num_classes)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images.flatten(1))
