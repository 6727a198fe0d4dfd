"""Arithmetic for measuring: float32 that is float32, and the same each time."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch


@contextlib.contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, no TF32 or bfloat16 in place of float32, and deterministic convolutions.

    Afterwards each setting is what it was.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        for backend, name, value in _settings():
            stack.callback(setattr, backend, name, getattr(backend, name))
            setattr(backend, name, value)
        yield


def _settings() -> list[tuple[Any, str, Any]]:
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    always = [(cudnn, "deterministic", True), (cudnn, "benchmark", False)]
    if not hasattr(cudnn, "conv"):  # before torch 2.9
        return [*always, (cudnn, "allow_tf32", False), (matmul, "allow_tf32", False)]
    mkldnn: Any = torch.backends.mkldnn
    parts = [matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv]
    return always + [(part, "fp32_precision", "ieee") for part in parts]
