"""What torch takes for a product of float32 numbers on a GPU: IEEE float32, or TF32."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

Setting = tuple[Any, str, Any]
"""An object of torch's, the name of one of its settings, and a value."""


def products(tf32: bool) -> list[Setting]:
    """Products of float32 matrices and convolutions on a CUDA GPU in TF32, or in IEEE float32."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    if not hasattr(cudnn, "conv"):  # before torch 2.9
        return [(part, "allow_tf32", tf32) for part in (matmul, cudnn)]
    return [(part, "fp32_precision", "tf32" if tf32 else "ieee") for part in (matmul, cudnn.conv, cudnn.rnn)]


@contextmanager
def temporarily(settings: list[Setting]) -> Iterator[None]:
    """Inside, these settings; afterwards each is what it was."""
    with ExitStack() as stack:
        for owner, name, value in settings:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
