"""Batch normalisation over the samples of all processes, and averaging of running statistics without it."""

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gan_research.distributed import all_reduce_mean, broadcast_tensors, collective, rank_and_world_size


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation by the mean and variance over the samples of all processes.

    Takes (N, C, ...) with any number of dimensions, and the same N in all processes. Unlike torch's own it runs on any
    device and is twice differentiable. In evaluation mode and in a single process it is plain batch normalisation.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"batch normalisation takes (N, C, ...), not {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:
        processes = rank_and_world_size()[1]
        if processes == 1 or not (self.training or self.running_mean is None):
            return super().forward(input)
        self._check_input_dim(input)
        axes = [0, *range(2, input.dim())]
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        shape = [1, -1, *(1 for _ in axes[1:])]
        count = processes * values.numel() // values.shape[1]
        mean = all_reduce_mean(values.mean(axes))
        centred = values - mean.view(shape)
        variance = all_reduce_mean(centred.square().mean(axes))  # E x^2 - (E x)^2 would lose digits
        self._update_running_statistics(mean.detach(), variance.detach() * count / max(count - 1, 1))
        normal = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.to(normal.dtype).view(shape) + self.bias.to(normal.dtype).view(shape)
        return normal.to(input.dtype)

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        momentum = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(unbiased_variance.to(self.running_var.dtype), momentum)


def convert_sync_batch_norm(network: nn.Module) -> None:
    """Replace each batch normalisation inside `network` by a `SyncBatchNorm` with the same parameters and buffers."""
    for parent in list(network.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _BatchNorm) and not isinstance(layer, SyncBatchNorm):
                new = SyncBatchNorm(layer.num_features, layer.eps, layer.momentum, False, layer.track_running_stats)
                new.affine, new._parameters, new._buffers = layer.affine, layer._parameters, layer._buffers
                setattr(parent, name, new.train(layer.training))


def synchronize_buffers(module: nn.Module) -> None:
    """Average running statistics over all processes, and broadcast all other buffers from rank zero."""
    size = rank_and_world_size()[1]
    if size == 1:
        return
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    buffers = (buffer for layer in layers for buffer in (layer.running_mean, layer.running_var))
    statistics = [buffer for buffer in buffers if buffer is not None]
    if statistics:
        flat = torch.cat([tensor.flatten() for tensor in statistics])
        with collective("the mean of the running statistics"):
            distributed.all_reduce(flat)
        for tensor, mean in zip(statistics, flat.div_(size).split([t.numel() for t in statistics]), strict=True):
            tensor.copy_(mean.view_as(tensor))
    averaged = {id(tensor) for tensor in statistics}
    broadcast_tensors(buffer for buffer in module.buffers() if id(buffer) not in averaged)
