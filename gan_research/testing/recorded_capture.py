"""CUDA graphs emulated on the CPU: operations are recorded, and replayed at the same addresses."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gan_research.utils.lightning_compat import TorchDispatchMode, tree_leaves

SYNCS = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "_unique2", "repeat_interleave.Tensor")
"""Operations that synchronize or copy from the host, which a capture refuses."""


class RecordedCapture:
    """`CudaGraphCapture` for the CPU. A replay doesn't run the function, and a capture has no effect."""

    def __init__(self, device: torch.device | None = None) -> None:
        self.warm_ups, self.captures, self.replays = 0, 0, 0

    def warm_up(self, function: Callable[[], None]) -> None:
        self.warm_ups += 1
        function()

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """Record the function's operations; return a function that replays them."""
        self.captures += 1
        random, recorded = torch.get_rng_state(), Operations()
        with recorded:
            function()
        torch.set_rng_state(random)
        with torch.no_grad():
            for tensor, before in recorded.before.values():
                tensor.copy_(before)
            for _, _, _, results in recorded.done:  # poison results, which have no values before a replay
                for result in results:
                    result.fill_(float("nan") if result.is_floating_point() else 99)

        def replay() -> None:
            self.replays += 1
            with torch.no_grad():
                for operation, arguments, named, results in recorded.done:
                    values = operation(*arguments, **named)
                    if results:
                        for result, value in zip(results, tensors(values), strict=True):
                            result.copy_(value)

        return replay


class Operations(TorchDispatchMode):
    """A record of operations: (operation, arguments, keyword arguments, results), without views."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        """Existing tensors that are written to, with their previous values."""
        self.new: set[int] = set()  # addresses of tensors that the operations allocated

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        name = str(operation)
        if any(sync in name for sync in SYNCS) or named.get("generator") is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        written = list(arguments[3:5]) if "native_batch_norm.default" in name else []  # missing in its schema
        for i, argument in enumerate(operation._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                written.append(arguments[i] if i < len(arguments) else named.get(argument.name))
        for tensor in tensors(written):
            if tensor.untyped_storage().data_ptr() not in self.new:
                self.before.setdefault(id(tensor), (tensor, tensor.clone()))
        results = operation(*arguments, **named)
        aliases = [r.alias_info for r in operation._schema.returns]
        if all(a is None for a in aliases):
            self.new |= {r.untyped_storage().data_ptr() for r in tensors(results)}
            self.done.append((operation, arguments, named, tensors(results)))
        elif any(a is not None and a.is_write for a in aliases):
            self.done.append((operation, arguments, named, []))
        return results


def tensors(values: Any) -> list[Tensor]:
    """Return the tensors in nested containers."""
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]
