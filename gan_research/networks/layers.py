"""Layers that the networks share."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn, ones, zeros
from torch.nn.utils.parametrizations import spectral_norm

from gan_research.utils.errors import UserError, did_you_mean

Init = Literal["torch", "uniform", "normal", "orthogonal"]

INITS: dict[str, Callable[[Tensor, float], Any]] = {
    "uniform": lambda weight, scale: nn.init.uniform_(weight, -scale, scale),
    "normal": lambda weight, scale: nn.init.normal_(weight, 0.0, scale),
    "orthogonal": nn.init.orthogonal_,
}

WEIGHTED = (nn.Linear, nn.Embedding, nn.Conv2d, nn.ConvTranspose2d)


class ConditionalBatchNorm2d(nn.Module):
    """Batch normalisation with a gain and a bias for each class (Dumoulin et al. 2017, equation 5).

    Images (N, channels, H, W) and labels (N,) int64 -> the same shape. With num_classes = 0 it is plain batch
    normalisation, one gain and one bias, so that a generator has one kind of norm whether it is conditional or not.
    All classes start alike: gain 1, bias 0.
    """

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels, affine=num_classes == 0)
        self.conditional = num_classes > 0
        if self.conditional:
            self.gain = nn.Parameter(ones(num_classes, channels))
            self.bias = nn.Parameter(zeros(num_classes, channels))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        normal = self.normalize(images)
        if not self.conditional:
            return normal
        assert labels is not None  # the generator has checked
        gain = F.embedding(labels, self.gain).to(normal.dtype)
        bias = F.embedding(labels, self.bias).to(normal.dtype)
        return normal * gain[:, :, None, None] + bias[:, :, None, None]


class Maxout(nn.Module):
    """h_j = max over k of (W_jk x + b_jk), k = 1 ... pieces (Goodfellow et al. 2013, "Maxout networks", section 3).

    (N, in_features) -> (N, out_features). It is affine and activation in one.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.shape = (out_features, pieces)
        self.affine = nn.Linear(in_features, out_features * pieces)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.affine(inputs).unflatten(1, self.shape).amax(2)


class OutputRange(nn.Module):
    """The real line onto (low, high): tanh if the range is symmetric about 0, else a sigmoid, scaled and shifted."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, inputs: Tensor) -> Tensor:
        if self.low == -self.high:
            return self.high * inputs.tanh()
        return self.low + (self.high - self.low) * inputs.sigmoid()


def output_range(value_range: tuple[float, float]) -> nn.Module:
    """The last layer of a generator whose values lie in `value_range`: the plain torch layer where there is one.

    (-inf, inf) puts no bounds, for data that are not images. UserError if it is neither that nor finite, low < high.
    """
    low, high = (float(bound) for bound in value_range)
    plain = {(-1.0, 1.0): nn.Tanh, (0.0, 1.0): nn.Sigmoid, (-math.inf, math.inf): nn.Identity}
    if (low, high) in plain:
        return plain[low, high]()
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"value_range is ({low}, {high}): take low < high, both finite, or (-inf, inf) for no bounds")
    return OutputRange(low, high)


def inverse_output(values: Tensor, value_range: tuple[float, float]) -> Tensor:
    """What `output_range` makes `values` of; values are kept 1e-7 of the range away from its ends, as in pylearn2."""
    low, high = value_range
    if math.isinf(low) and math.isinf(high):
        return values
    logits = ((values.double() - low) / (high - low)).logit(1e-7).to(values.dtype)
    return logits / 2 if low == -high else logits  # tanh(x / 2) = 2 sigmoid(x) - 1


def initialize_weights(network: nn.Module, init: Init, scale: float) -> None:
    """Start the linear layers inside `network`: weights as `init` says, biases at 0.

    "torch": all as torch has it. "uniform": within +-scale. "normal": of standard deviation `scale`. "orthogonal":
    orthogonal matrices times `scale` (Saxe et al. 2014).
    """
    if init == "torch":
        return
    if init not in INITS:
        raise UserError(f"init '{init}' is unknown: {did_you_mean(init, ['torch', *INITS])}")
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            INITS[init](layer.weight, scale)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def spectral(module: nn.Module) -> None:
    """Divide every linear, embedding and convolution weight inside `module`, or itself, by its largest singular value.

    Miyato et al. 2018, "Spectral normalization for GANs", algorithm 1: one power iteration a forward pass in training
    mode, none in evaluation mode. Initialise the weights first: afterwards `weight` is computed, and writing to it
    changes nothing.
    """
    for layer in [layer for layer in module.modules() if isinstance(layer, WEIGHTED)]:
        spectral_norm(layer)
