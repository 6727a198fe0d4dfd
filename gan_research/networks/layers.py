"""Layers that the networks share."""

import math
from collections.abc import Callable
from typing import Any, Literal, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn, ones, zeros
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from gan_research.networks.base import require_one_of
from gan_research.utils.errors import UserError

Init = Literal["torch", "uniform", "normal", "orthogonal", "xavier"]
Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)

INITS: dict[str, Callable[[Tensor, float], Any]] = {
    "uniform": lambda weight, scale: nn.init.uniform_(weight, -scale, scale),
    "normal": lambda weight, scale: nn.init.normal_(weight, 0.0, scale),
    "orthogonal": nn.init.orthogonal_,
    "xavier": nn.init.xavier_uniform_,
}

WEIGHTED = (nn.Linear, nn.Embedding, nn.Conv2d, nn.ConvTranspose2d)


def class_rows(labels: Tensor, table: Tensor) -> Tensor:
    """Return the rows (N, F) of a table (num_classes, F) that belong to the labels.

    labels: (N,) int64, or (N, num_classes) weights of classes, for mixtures of rows.
    """
    return labels.to(table.dtype) @ table if labels.is_floating_point() else F.embedding(labels, table)


def class_weights(labels: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Return the weights of classes (N, num_classes): one-hot for int64 labels (N,), else `labels` themselves."""
    return (labels if labels.is_floating_point() else F.one_hot(labels, num_classes)).to(dtype)


class ConditionalBatchNorm2d(nn.Module):
    """Batch normalisation with a gain and a bias for each class (Dumoulin et al. 2017, equation 5).

    Images (N, channels, H, W) and labels as in `class_rows` -> the same shape. With num_classes = 0 it is plain batch
    normalisation. Gains are initialized to 1, biases to 0. eps, momentum: as in torch's layer.
    """

    layer: type[nn.BatchNorm1d | nn.BatchNorm2d] = nn.BatchNorm2d

    def __init__(self, channels: int, num_classes: int = 0, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.normalize = self.layer(channels, eps, momentum, affine=num_classes == 0)
        self.conditional = num_classes > 0
        if self.conditional:
            self.gain = nn.Parameter(ones(num_classes, channels))
            self.bias = nn.Parameter(zeros(num_classes, channels))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        normal: Tensor = self.normalize(images)
        if not self.conditional:
            return normal
        assert labels is not None  # checked by the generator
        shape = (*normal.shape[:2], *(1 for _ in normal.shape[2:]))
        gain, bias = (class_rows(labels, table).to(normal.dtype).view(shape) for table in (self.gain, self.bias))
        return normal * gain + bias


class ConditionalBatchNorm1d(ConditionalBatchNorm2d):
    """The same for features (N, channels)."""

    layer = nn.BatchNorm1d


class VectorBatchNorm2d(nn.Module):
    """Batch normalisation with gain 1 + W_g c and bias W_b c.

    Brock et al. 2019, appendix B. Images (N, channels, H, W) and vectors c (N, size) -> the images' shape.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = (initialized(nn.Linear(size, channels, bias=False)) for _ in range(2))

    def forward(self, images: Tensor, vectors: Tensor) -> Tensor:
        normal: Tensor = self.normalize(images)
        gain, bias = (layer(vectors).to(normal.dtype)[:, :, None, None] for layer in (self.gain, self.bias))
        return bias.addcmul(normal, 1 + gain)


class Maxout(nn.Module):
    """The layer h_j = max over k of (W_jk x + b_jk), k = 1 ... pieces: (N, in_features) -> (N, out_features).

    Goodfellow et al. 2013, "Maxout networks", section 3.
    """

    def __init__(self, in_features: int, out_features: int, pieces: int) -> None:
        super().__init__()
        self.shape = (out_features, pieces)
        self.affine = nn.Linear(in_features, out_features * pieces)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.affine(inputs).unflatten(1, self.shape).amax(2)


class OutputRange(nn.Module):
    """A map of the real line onto (low, high): a scaled tanh if symmetric about 0, else a scaled sigmoid."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, inputs: Tensor) -> Tensor:
        if self.low == -self.high:
            return self.high * inputs.tanh()
        return self.low + (self.high - self.low) * inputs.sigmoid()


class LinearOutput(OutputRange):
    """The linear map that takes -1 to `low` and 1 to `high`; values may leave this range."""

    def forward(self, inputs: Tensor) -> Tensor:
        return (self.low + self.high) / 2 + (self.high - self.low) / 2 * inputs


def output_range(value_range: tuple[float, float], bounded: bool = True) -> nn.Module:
    """Return the last layer of a generator with values in `value_range`: torch's own layer if there is one.

    Without `bounded` it is linear, and values may leave the range. (-inf, inf) is for data that are not images. Raises
    a UserError unless it is that, or finite with low < high.
    """
    low, high = (float(bound) for bound in value_range)
    plain: dict[tuple[float, float], type[nn.Module]] = {(-math.inf, math.inf): nn.Identity}
    plain |= {(-1.0, 1.0): nn.Tanh, (0.0, 1.0): nn.Sigmoid} if bounded else {(-1.0, 1.0): nn.Identity}
    if (low, high) in plain:
        return plain[low, high]()
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UserError(f"value_range is ({low}, {high}): take low < high, both finite, or (-inf, inf) for no bounds")
    return (OutputRange if bounded else LinearOutput)(low, high)


def inverse_output(values: Tensor, value_range: tuple[float, float]) -> Tensor:
    """Invert `output_range`; values are kept 1e-7 of the range away from its ends, as in pylearn2."""
    low, high = value_range
    if math.isinf(low) and math.isinf(high):
        return values
    logits = ((values.double() - low) / (high - low)).logit(1e-7).to(values.dtype)
    return logits / 2 if low == -high else logits  # tanh(x / 2) = 2 sigmoid(x) - 1


def convolution(inner: int, outer: int, kernel: int, gain: float = 1.0, bias: bool = True) -> nn.Conv2d:
    """Return a convolution that keeps the size (odd kernel), initialized as in SNGAN's code."""
    return initialized(nn.Conv2d(inner, outer, kernel, padding=kernel // 2, bias=bias), gain)


def initialized(layer: Layer, gain: float = 1.0) -> Layer:
    """Initialize a layer: its weight Xavier uniform with `gain` (sqrt 2 inside blocks, 1 elsewhere), its bias 0."""
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def initialize_weights(network: nn.Module, init: Init, scale: float, kinds: tuple[type, ...] = (nn.Linear,)) -> None:
    """Initialize layers of the classes `kinds` inside `network`: weights by `init`, biases 0.

    "torch": torch's defaults. "uniform": within +-scale. "normal": of standard deviation `scale`. "orthogonal":
    orthogonal matrices times `scale` (Saxe et al. 2014). "xavier": Xavier uniform with gain `scale`.
    """
    require_one_of(("torch", *INITS), init=init)
    if init == "torch":
        return
    for layer in network.modules():
        if isinstance(layer, kinds):
            INITS[init](cast(Tensor, layer.weight), scale)
            if isinstance(bias := getattr(layer, "bias", None), Tensor):
                nn.init.zeros_(bias)


def reset_biases(network: nn.Module, and_weights: tuple[str, ...] = ()) -> None:
    """Reset biases to torch's uniform within +-1/sqrt(fan in).

    and_weights: reset also the weights of layers whose names end so.
    """
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            weight = layer.weight.detach().clone()
            layer.reset_parameters()
            if not name.endswith(and_weights):
                layer.weight.data.copy_(weight)


def set_batch_norm_eps(network: nn.Module, eps: float) -> None:
    """Set the number that all batch norms add to variances."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = eps


def spectral(module: nn.Module, eps: float = 1e-12, kinds: tuple[type, ...] = WEIGHTED) -> None:
    """Divide the weight of each layer of `kinds` by its largest singular value.

    Miyato et al. 2018, "Spectral normalization for GANs", algorithm 1: one power iteration per forward pass in training
    mode, none in evaluation mode. Initialize the weights first: afterwards writing to `weight` has no effect. eps: the
    least norm by which its vectors are divided.
    """
    for layer in [layer for layer in module.modules() if isinstance(layer, kinds)]:
        weight = cast(Tensor, layer.weight)
        if weight.is_meta:
            rows = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
            register_parametrization(layer, "weight", SingularVectors(rows.flatten(1)))
        else:
            spectral_norm(layer, eps=eps)


class SingularVectors(nn.Module):
    """The buffers of a spectral norm, of a weight without values: torch's own computes, for seconds."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
            self.register_buffer(name, matrix.new_empty(size))

    def forward(self, weight: Tensor) -> Tensor:
        return weight


def spectral_norms(module: nn.Module) -> list[nn.Module]:
    """Return the spectral norms inside `module`; without their `training` they take no power iteration."""
    return [part for part in module.modules() if hasattr(part, "n_power_iterations")]


def is_spectral(module: nn.Module) -> bool:
    """Return whether every linear, embedding and convolution layer has spectral norm."""
    layers = [layer for layer in module.modules() if isinstance(layer, WEIGHTED)]
    return bool(layers) and all(is_parametrized(layer, "weight") for layer in layers)
