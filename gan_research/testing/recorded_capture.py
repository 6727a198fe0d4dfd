"""A stand-in for CUDA graphs on the CPU: torch's operations, recorded once and run again at the same addresses."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gan_research.utils.lightning_compat import TorchDispatchMode, tree_leaves

SYNCS = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "_unique2", "repeat_interleave.Tensor")
"""Operations that wait for a GPU, or copy from the host: a capture refuses them."""


class RecordedCapture:
    """`CudaGraphCapture` for the CPU. A replay runs no line of the function, and a capture changes nothing."""

    @classmethod
    def on(cls, device: torch.device) -> "RecordedCapture":
        """Return a capture, whatever the device."""
        return cls()

    def __init__(self) -> None:
        self.warm_ups, self.captures, self.replays = 0, 0, 0

    def warm_up(self, function: Callable[[], None]) -> None:
        """Run the function."""
        self.warm_ups += 1
        function()

    def __call__(self, function: Callable[[], None]) -> Callable[[], None]:
        """Return what runs the function's operations again."""
        self.captures += 1
        random, recorded = torch.get_rng_state(), Operations()
        with recorded:
            function()
        torch.set_rng_state(random)
        with torch.no_grad():
            for tensor, before in recorded.before.values():
                tensor.copy_(before)
            for _, _, _, results in recorded.done:  # nothing was computed yet: whoever reads it before a replay sees it
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
    """The operations inside: (operation, arguments, keyword arguments, results), without views."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[tuple[Any, Any, Any, list[Tensor]]] = []
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        """Tensors from before that are written to, with the values that they had."""
        self.made: set[int] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
        named = named or {}
        name = str(operation)
        if any(sync in name for sync in SYNCS) or named.get("generator") is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {name}")
        written = list(arguments[3:5]) if "native_batch_norm.default" in name else []  # which its schema doesn't say
        for i, argument in enumerate(operation._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                written.append(arguments[i] if i < len(arguments) else named.get(argument.name))
        for tensor in tensors(written):
            if tensor.untyped_storage().data_ptr() not in self.made:
                self.before.setdefault(id(tensor), (tensor, tensor.clone()))
        results = operation(*arguments, **named)
        aliases = [r.alias_info for r in operation._schema.returns]
        if all(a is None for a in aliases):
            self.made |= {r.untyped_storage().data_ptr() for r in tensors(results)}
            self.done.append((operation, arguments, named, tensors(results)))
        elif any(a is not None and a.is_write for a in aliases):
            self.done.append((operation, arguments, named, []))
        return results


def tensors(values: Any) -> list[Tensor]:
    """Return the tensors in nested containers."""
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]
