"""Standing statistics: those of batch norm over batches of samples, instead of the running ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_research.utils.errors import UserError


def statistics_of(network: nn.Module) -> list[Tensor]:
    """Return the running means and variances of the batch norm inside `network`, in turn."""
    return [tensor for layer in _layers(network) for tensor in (layer.running_mean, layer.running_var)]


def require_statistics(network: nn.Module, what: str) -> None:
    """Raise a UserError if a network has no running statistics; what: what needs them."""
    if not _layers(network):
        raise UserError(f"{what}: {type(network).__name__} has no running statistics of batch norm: leave it out")


@contextmanager
def standing_statistics(network: nn.Module) -> Iterator[None]:
    """Normalize each batch by its own statistics; at the end set the running ones to their mean over the batches.

    Brock et al. 2019, "Large scale GAN training", appendix D. It is the plain mean, of the unbiased variances as in
    training. The network stays in evaluation mode: dropout and power iterations are off. Each process normalizes its
    own batch.
    """
    found: dict[Any, list[tuple[Tensor, Tensor]]] = {layer: [] for layer in _layers(network)}

    def normalized(layer: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        values = inputs[0]
        variance, mean = torch.var_mean(values, [axis for axis in range(values.dim()) if axis != 1])
        found[layer].append((mean.double(), variance.double()))
        return F.batch_norm(values, None, None, layer.weight, layer.bias, training=True, eps=layer.eps)

    hooks = [layer.register_forward_hook(normalized) for layer in found]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    for layer, each in found.items():
        if not each:
            continue  # the forward pass doesn't use it
        for running, values in zip((layer.running_mean, layer.running_var), zip(*each, strict=True), strict=True):
            running.copy_(torch.stack(values).mean(0))


def _layers(network: nn.Module) -> list[Any]:
    return [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
