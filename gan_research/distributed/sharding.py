"""Networks whose parameters are sharded over the ranks by torch's `fully_shard`."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def shard(network: nn.Module, device: torch.device) -> None:
    """Replace the parameters of a network by shards on the device; its forward pass gathers them.

    Each block, an element of a list or sequence inside the network, is gathered by itself, and the rest together.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    lists = [child for child in network.children() if isinstance(child, nn.ModuleList | nn.Sequential)]
    blocks = [block for blocks in lists for block in blocks if any(True for _ in block.parameters())]
    for part in [*blocks, network]:
        fully_shard(part, mesh=mesh, reshard_after_forward=True)


@contextmanager
def gathered(networks: Iterable[nn.Module]) -> Iterator[None]:
    """Keep gathered parameters after forward and backward passes, as second derivatives require.

    By default their memory is freed as soon as the first derivative is computed, and the graph of the second one has
    views of it.
    """
    roots: list[Any] = list(networks)
    for root in roots:
        root.set_reshard_after_forward(False)
        root.set_reshard_after_backward(False)
    yield
    for root in roots:
        root.set_reshard_after_forward(True)
        root.set_reshard_after_backward(True)
        release(root)


def release(network: nn.Module) -> None:
    """Free the gathered parameters of a network."""
    for module in network.modules():
        if callable(reshard := getattr(module, "reshard", None)):
            reshard()


def whole(tensor: Any) -> Any:
    """Return a sharded tensor as a whole, which all ranks have to call; anything else as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def local(tensor: Tensor) -> Tensor:
    """Return this rank's shard of a tensor, which shares its memory; a tensor that isn't sharded as it is."""
    to_local = getattr(tensor, "to_local", None)
    return tensor if to_local is None else to_local()


def whole_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of an optimizer with whole tensors."""
    return state | {
        "state": {i: {name: whole(value) for name, value in of.items()} for i, of in state["state"].items()}
    }


def sharded_state(state: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """Return a whole state of an optimizer, sharded as its parameters are."""
    from torch.distributed.tensor import distribute_tensor

    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def part(value: Any, parameter: Any) -> Any:
        if getattr(value, "shape", None) != parameter.shape or not hasattr(parameter, "placements"):
            return value  # such as the number of steps
        return distribute_tensor(value.to(parameter.device), parameter.device_mesh, parameter.placements)

    return state | {
        "state": {i: {name: part(v, parameters[i]) for name, v in of.items()} for i, of in state["state"].items()}
    }
