"""Functions of one tensor, recorded as the operations that they do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gan_research.utils.lightning_compat import TorchDispatchMode, tree_flatten, tree_leaves, tree_unflatten


class Tape(TorchDispatchMode):
    """The tensor operations, backward passes included, that a function does on one tensor: to be done on others.

    Unlike the function itself, the tape can be batched by `torch.vmap` and differentiated as a whole, through what the
    function detaches, too. It takes one way through the function: branches are not on it.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], argument: Tensor):
        super().__init__()
        self.argument = argument
        self._operations: list[tuple[Any, list[Any], Any, list[tuple[int, int]], int]] = []
        self._values: list[Tensor] = [argument]
        """All that depends on the argument, kept, so that each has an id of its own."""
        self._slots = {id(argument): 0}
        with self:
            self._result = function(argument)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        leaves, structure = tree_flatten((args, kwargs or {}))
        inputs = [(i, self._slots[id(leaf)]) for i, leaf in enumerate(leaves) if id(leaf) in self._slots]
        if inputs:
            if func is torch.ops.aten.detach.default:
                func = torch.ops.aten.alias.default
            self._operations.append((func, leaves, structure, inputs, len(self._values)))
            for value in tree_leaves(out):
                self._slots[id(value)] = len(self._values)
                self._values.append(value)
        return out

    def __call__(self, argument: Tensor) -> Tensor:
        values: list[Any] = [argument, *[None] * (len(self._values) - 1)]
        for func, leaves, structure, inputs, first in self._operations:
            leaves = list(leaves)
            for i, slot in inputs:
                leaves[i] = values[slot]
            args, kwargs = tree_unflatten(leaves, structure)
            out = tree_leaves(func(*args, **kwargs))
            values[first : first + len(out)] = out
        last = self._slots.get(id(self._result))
        return self._result if last is None else values[last]
