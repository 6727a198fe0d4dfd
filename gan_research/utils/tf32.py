"""Precision of float32 products on a GPU: IEEE float32, or TF32."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

Setting = tuple[Any, str, Any]  # (object of torch, name of its setting, value)


def products(tf32: bool) -> list[Setting]:
    """Return settings for products and convolutions in TF32 or IEEE float32 on a CUDA GPU."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    if not hasattr(cudnn, "conv"):  # before torch 2.9
        return [(part, "allow_tf32", tf32) for part in (matmul, cudnn)]
    return [(part, "fp32_precision", "tf32" if tf32 else "ieee") for part in (matmul, cudnn.conv, cudnn.rnn)]


@contextmanager
def temporarily(settings: list[Setting]) -> Iterator[None]:
    """Apply the settings inside; restore them afterwards."""
    with ExitStack() as stack:
        for owner, name, value in settings:
            stack.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, value)
        yield
