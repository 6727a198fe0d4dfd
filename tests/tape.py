"""What a CUDA graph does, on the CPU: torch's own operations, noted once and done again at the same addresses."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SYNCS = ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select", "_unique2", "repeat_interleave.Tensor")
"""Operations that on a GPU wait for it, or copy from the host: a capture refuses them."""


class Tape:
    """`CudaGraphCapture` for the CPU. No line of Python is run by a replay, and a capture leaves all as it found it."""

    def __init__(self):
        self.warm_ups, self.captures, self.replays = 0, 0, 0

    def warm_up(self, function):
        self.warm_ups += 1
        function()

    def __call__(self, function):
        self.captures += 1
        random, notes = torch.get_rng_state(), Notes()
        with notes:
            function()
        torch.set_rng_state(random)
        with torch.no_grad():
            for tensor, before in notes.before.values():
                tensor.copy_(before)
            for _, _, _, results in notes.done:  # nothing was computed yet: whoever reads it before a replay sees it
                for result in results:
                    result.fill_(float("nan") if result.is_floating_point() else 99)

        def replay():
            self.replays += 1
            with torch.no_grad():
                for operation, arguments, named, results in notes.done:
                    values = operation(*arguments, **named)
                    if results:
                        for result, value in zip(results, tensors(values), strict=True):
                            result.copy_(value)

        return replay


class Notes(TorchDispatchMode):
    """The operations inside: (operation, arguments, by name, what it made), but for views, which need no repeating."""

    def __init__(self):
        super().__init__()
        self.done = []
        self.before = {}
        """Of what was there before and is written to: the tensor, and its values."""
        self.made = set()

    def __torch_dispatch__(self, operation, types, arguments=(), named=None):
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


def tensors(values):
    """The tensors in a nest of values."""
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]
