"""Fully connected networks, as in Goodfellow et al. 2014, "Generative adversarial nets", section 5."""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal, cast

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from gan_research.networks.base import Discriminator, Generator, require_one_of
from gan_research.networks.heads import HeadFactory, make_head
from gan_research.networks.layers import (
    ConditionalBatchNorm1d,
    Init,
    Maxout,
    class_weights,
    initialize_weights,
    inverse_output,
    output_range,
    spectral,
)
from gan_research.utils.errors import UserError, require
from gan_research.utils.ranges import Fraction
from gan_research.utils.sample_spec import SampleSpec

LeakyReLU = partial(nn.LeakyReLU, 0.2)
ACTIVATIONS: dict[str, Any] = {"relu": nn.ReLU, "leaky_relu": LeakyReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


class MLPGenerator(Generator):
    """`depth` hidden layers of `width` units, then one unit per value; depth = 0 is an affine map.

    Generates images of any resolution, and points (`resolution` None). If it is conditional, one-hot labels are
    concatenated to the latents (Mirza & Osindero 2014), unless its batch norm is.

    norm: "batch": batch norm with `norm_eps` and `norm_momentum` after each hidden layer, which then has no bias;
        "conditional_batch": with a gain and a bias for each class.
    init, init_scale: see `initialize_weights`.
    mean_of_data: initialize the output's bias to give the mean training sample (Goodfellow's `init_bias`).
    """

    def __init__(
        self,
        latent_dim: int,
        samples: SampleSpec,
        width: PositiveInt = 256,
        depth: NonNegativeInt = 2,
        activation: Literal["relu", "leaky_relu", "silu", "tanh"] = "relu",
        norm: Literal["none", "batch", "conditional_batch"] = "none",
        norm_eps: PositiveFloat = 1e-5,
        norm_momentum: Annotated[float, Field(ge=0, le=1)] = 0.1,
        init: Init = "torch",
        init_scale: NonNegativeFloat = 0.02,
        mean_of_data: bool = False,
    ) -> None:
        super().__init__(latent_dim, samples)
        require(1, width=width)
        require(0, depth=depth)
        require_one_of(tuple(ACTIVATIONS), activation=activation)
        require_one_of(("none", "batch", "conditional_batch"), norm=norm)
        self.conditional_norm = norm == "conditional_batch"
        if self.conditional_norm and not (samples.num_classes and depth):
            raise UserError(
                "norm=conditional_batch needs classes and a hidden layer: set conditional=true and depth >= 1"
            )
        sizes = [latent_dim + (0 if self.conditional_norm else samples.num_classes), *[width] * depth]
        layers: list[nn.Module] = []
        for i in range(depth):
            layers.append(nn.Linear(sizes[i], sizes[i + 1], bias=norm == "none"))
            if norm == "batch":
                layers.append(nn.BatchNorm1d(sizes[i + 1], norm_eps, norm_momentum))
            elif norm == "conditional_batch":
                layers.append(ConditionalBatchNorm1d(sizes[i + 1], samples.num_classes, norm_eps, norm_momentum))
            layers.append(ACTIVATIONS[activation]())
        last = nn.Linear(sizes[-1], math.prod(self.samples.shape))
        self.body = nn.Sequential(*layers, last, output_range(samples.value_range))
        self.mean_of_data = mean_of_data
        initialize_weights(self, init, init_scale)

    def prepare(self, mean: Callable[[], Tensor]) -> None:
        if self.mean_of_data:
            with torch.no_grad():
                last = cast(nn.Linear, self.body[-2])
                last.bias.copy_(inverse_output(mean(), self.value_range).flatten())

    def generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        hidden = latents
        if labels is not None and not self.conditional_norm:
            hidden = torch.cat([latents, class_weights(labels, self.num_classes, latents.dtype)], dim=1)
        for layer in self.body:
            hidden = layer(hidden, labels) if isinstance(layer, ConditionalBatchNorm1d) else layer(hidden)
        return hidden.view(-1, *self.samples.shape)


class MLPDiscriminator(Discriminator):
    """`depth` hidden layers of `width` units on the flat image or point, then the head; depth = 0 is the head alone.

    `activation="maxout"` with dropout is Goodfellow's: each unit is the maximum of `maxout_pieces` affine maps.
    `dropout`: the probability of dropping a hidden unit; `input_dropout`: an input. `init`, `init_scale`: see
    `initialize_weights`. `norm`: "spectral" normalizes every weight, including the head's. `head_bias`: the head has
    a bias.
    """

    def __init__(
        self,
        samples: SampleSpec,
        width: PositiveInt = 256,
        depth: NonNegativeInt = 2,
        activation: Literal["leaky_relu", "relu", "silu", "tanh", "maxout"] = "leaky_relu",
        maxout_pieces: PositiveInt = 5,
        dropout: Fraction = 0.0,
        packing: PositiveInt = 1,
        input_dropout: Fraction = 0.0,
        init: Init = "torch",
        init_scale: NonNegativeFloat = 0.02,
        norm: Literal["none", "spectral"] = "none",
        head_bias: bool = True,
        head: HeadFactory | None = None,
    ) -> None:
        super().__init__(samples, packing)
        require(1, width=width, maxout_pieces=maxout_pieces)
        require(0, depth=depth)
        require_one_of((*ACTIVATIONS, "maxout"), activation=activation)
        require_one_of(("none", "spectral"), norm=norm)
        for name, probability in (("dropout", dropout), ("input_dropout", input_dropout)):
            if not 0 <= probability < 1:
                raise UserError(f"{name} is {probability}: it has to be at least 0 and below 1")
        sizes = [packing * math.prod(self.samples.shape), *[width] * depth]
        layers: list[nn.Module] = [nn.Dropout(input_dropout)] if input_dropout > 0 else []
        for i in range(depth):
            if activation == "maxout":
                layers.append(Maxout(sizes[i], sizes[i + 1], maxout_pieces))
            else:
                layers += [nn.Linear(sizes[i], sizes[i + 1]), ACTIVATIONS[activation]()]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.head = make_head(sizes[-1], samples.num_classes, head_bias, head)
        initialize_weights(self, init, init_scale)
        if norm == "spectral":
            spectral(self)

    def features(self, images: Tensor) -> Tensor:
        return self.body(images.flatten(1))
