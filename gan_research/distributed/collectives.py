"""Collectives: differentiable means and gathering, the average of a player's gradients, a flag."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, distributed, nn

from gan_research.distributed.group import collective, rank_and_world_size


class _Sum(torch.autograd.Function):
    """The sum over all ranks; its gradient is the sum of all ranks' gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        with collective("a mean over all processes"):
            distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.apply(gradient)  # differentiable again: penalties take gradients of gradients


@torch.compiler.disable
def all_reduce_mean(value: Tensor) -> Tensor:
    """Return the mean of `value` over the ranks, of one shape on all; differentiable any number of times.

    If each rank has a loss of this mean, the average of their gradients is the gradient of their mean loss. On one
    rank the mean is `value`.
    """
    size = rank_and_world_size()[1]
    return value if size == 1 else _Sum.apply(value) / size


class _Gather(torch.autograd.Function):
    """The values of all ranks, one after the other along the first dimension; the adjoint of `_ReduceScatter`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.contiguous()
        parts = [torch.empty_like(value) for _ in range(rank_and_world_size()[1])]
        with collective("the samples of all processes"):
            distributed.all_gather(parts, value)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _ReduceScatter.apply(gradient)


class _ReduceScatter(torch.autograd.Function):
    """The sum over all ranks; each takes its own rows."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        rank, world_size = rank_and_world_size()
        return _Sum.apply(value).chunk(world_size)[rank].clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Gather.apply(gradient)


@torch.compiler.disable
def gather_of_all(value: Tensor) -> Tensor:
    """Return the rows of all ranks, in their order: (N, ...) -> (world size * N, ...).

    Differentiable any number of times. The backward pass sums gradients over the ranks: if each rank takes the mean
    loss of its own rows against all rows, the gradients averaged over the ranks equal those of the whole minibatch.
    """
    return value if rank_and_world_size()[1] == 1 else _Gather.apply(value)


def all_reduce_means(numbers: dict[str, float]) -> dict[str, float]:
    """Return the mean of each number over the ranks, which have the same names."""
    if rank_and_world_size()[1] == 1:
        return numbers
    means = all_reduce_mean(torch.tensor(list(numbers.values()), dtype=torch.float64))
    return dict(zip(numbers, means.tolist(), strict=True))


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Copy the tensors of rank zero to all ranks."""
    if rank_and_world_size()[1] > 1:
        with collective("the tensors of the first process"):
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)


class GradientAverage:
    """Averages a player's gradients over all ranks, in one all-reduce for each device and dtype.

    It is called once before the player's step, after any number of backward passes. One more number for each parameter
    tells whether it has a gradient: a parameter without one on all ranks keeps none (a gradient of 0 would move it by
    Adam's momentum), one that has a gradient on any rank gets one on all.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], of: str) -> None:
        self.what = f"the gradients of the {of}"
        key = lambda p: (str(p.device), str(p.dtype))  # noqa: E731
        self._buckets = [list(group) for _, group in groupby(sorted(parameters, key=key), key)]

    def __call__(self) -> None:
        size = rank_and_world_size()[1]
        if size == 1:
            return
        for bucket in self._buckets:
            if trainable := [p for p in bucket if p.requires_grad]:
                with collective(self.what):
                    average(trainable, size)


@torch.no_grad()
def average(parameters: list[nn.Parameter], size: int) -> None:
    """Replace the gradient of each parameter by its mean over `size` ranks."""
    present = [p.grad is not None for p in parameters]
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    some = parts[0].new_tensor(present) if not all(present) else parts[0].new_ones(len(present))
    flat = torch.cat([*(part.reshape(-1) for part in parts), some])
    distributed.all_reduce(flat)
    flat.div_(size)
    if not all(present):  # only then the host waits for the device
        present = [share > 0 for share in flat[-len(present) :].tolist()]
    means = flat[: -len(present)].split([part.numel() for part in parts])
    for parameter, mean, has_one in zip(parameters, means, present, strict=True):
        parameter.grad = mean.view_as(parameter) if has_one else None


class AnyRankFlag:
    """A flag that any rank may raise; all see it at the next call, so that none waits."""

    def __init__(self) -> None:
        self._pending: tuple[Tensor, Any] | None = None

    def __call__(self, raised: bool) -> bool:
        """Return whether any rank had raised it at the last call; on one rank, `raised`."""
        if rank_and_world_size()[1] == 1:
            return raised
        seen = self.settle()
        flag = torch.tensor([int(raised)])
        self._pending = flag, distributed.all_reduce(flag, distributed.ReduceOp.MAX, async_op=True)
        return seen

    def settle(self) -> bool:
        """Wait for the all-reduce of the last call, if any; return its result."""
        if self._pending is None:
            return False
        (flag, work), self._pending = self._pending, None
        with collective("whether a process was asked to stop"):
            work.wait()
        return bool(flag.item())
