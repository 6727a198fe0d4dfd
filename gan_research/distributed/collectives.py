"""What processes compute together: means that keep their gradient, a player's gradients, a flag."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, distributed, nn

from gan_research.distributed.group import collective, rank_and_world_size


class _Sum(torch.autograd.Function):
    """The sum over all processes. Its gradient is that of the sum of all processes' losses, so it is such a sum too."""

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
    """The mean over the processes of `value`, of one shape everywhere; differentiable any number of times.

    A loss of such a mean has in each process the gradient that, averaged over the processes, is the gradient of the
    mean of all their losses. Alone it is `value`.
    """
    size = rank_and_world_size()[1]
    return value if size == 1 else _Sum.apply(value) / size


class _Gather(torch.autograd.Function):
    """The values of all ranks, one after the other along the first dimension; the adjoint of `_ReduceScatter`."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        parts = [
            torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(rank_and_world_size()[1])
        ]
        with collective("the samples of all processes"):
            distributed.all_gather(parts, value.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _ReduceScatter.apply(gradient)


class _ReduceScatter(torch.autograd.Function):
    """The sum over all ranks, of which each takes its own rows."""

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

    Differentiable any number of times. The backward pass sums gradients over the ranks: where each rank takes the mean
    loss of its own rows against all of them, the gradients averaged over the ranks are those of one process with the
    whole minibatch. (Gathering without a gradient makes contrastive gradients shrink with the number of ranks.) Alone
    it is `value`.
    """
    return value if rank_and_world_size()[1] == 1 else _Gather.apply(value)


def all_reduce_means(numbers: dict[str, float]) -> dict[str, float]:
    """Each number's mean over the processes, which have the same names."""
    if rank_and_world_size()[1] == 1:
        return numbers
    means = all_reduce_mean(torch.tensor(list(numbers.values()), dtype=torch.float64))
    return dict(zip(numbers, means.tolist(), strict=True))


def broadcast_tensors(tensors: Iterable[Tensor]) -> None:
    """Every tensor becomes what it is in the first process."""
    if rank_and_world_size()[1] > 1:
        with collective("the tensors of the first process"):
            for tensor in tensors:
                distributed.broadcast(tensor.detach(), src=0)


class GradientAverage:
    """Averages the gradients of one player over all processes, in one all-reduce (one for each dtype).

    Called once before the player's step, whatever made the gradients: any number of backwards, micro-batches and
    penalties. Which parameters have a gradient at all travels with them, one number each: one that has none in any
    process keeps none (Adam's momentum would move it by a gradient of 0); one that has one anywhere has one everywhere.
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
            asking = [p for p in bucket if p.requires_grad]
            if asking:
                with collective(self.what):
                    average(asking, size)


@torch.no_grad()
def average(parameters: list[nn.Parameter], size: int) -> None:
    """Each parameter's gradient becomes its mean over `size` processes."""
    present = [p.grad is not None for p in parameters]
    parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    some = parts[0].new_tensor(present) if not all(present) else parts[0].new_ones(len(present))
    flat = torch.cat([*(part.reshape(-1) for part in parts), some])
    distributed.all_reduce(flat)
    flat.div_(size)
    if not all(present):  # only then does the host have to look
        present = [share > 0 for share in flat[-len(present) :].tolist()]
    for parameter, mean, has_one in zip(parameters, _unflattened(flat, parts), present, strict=True):
        parameter.grad = mean if has_one else None


def _unflattened(flat: Tensor, like: list[Tensor]) -> Iterator[Tensor]:
    """Views into `flat` of these tensors' shapes, one after the other."""
    at = 0
    for tensor in like:
        yield flat[at : at + tensor.numel()].view_as(tensor)
        at += tensor.numel()


class AnyRankFlag:
    """A flag that any process may raise and that all then see at the same call: the one after, so that nobody waits."""

    def __init__(self) -> None:
        self._asked: tuple[Tensor, Any] | None = None

    def __call__(self, raised: bool) -> bool:
        """Whether any process had raised it at the last call. Alone: whether it is raised."""
        if rank_and_world_size()[1] == 1:
            return raised
        seen = self.settle()
        flag = torch.tensor([int(raised)])
        self._asked = flag, distributed.all_reduce(flag, distributed.ReduceOp.MAX, async_op=True)
        return seen

    def settle(self) -> bool:
        """The answer to the last call, after which nothing is under way."""
        if self._asked is None:
            return False
        (flag, work), self._asked = self._asked, None
        with collective("whether a process was asked to stop"):
            work.wait()
        return bool(flag.item())
