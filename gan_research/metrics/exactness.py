"""Exact and deterministic float32 arithmetic for evaluations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch

from gan_research.utils.tf32 import products, temporarily


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Disable gradients, autocast, TF32 and bfloat16, and make convolutions deterministic, within the context."""
    cudnn, mkldnn = cast(Any, torch.backends.cudnn), cast(Any, torch.backends.mkldnn)
    settings = [(cudnn, "deterministic", True), (cudnn, "benchmark", False), *products(tf32=False)]
    if hasattr(cudnn, "conv"):  # since torch 2.9
        settings += [(part, "fp32_precision", "ieee") for part in (mkldnn.matmul, mkldnn.conv)]
    with torch.no_grad(), torch.autocast(device.type, enabled=False), temporarily(settings):
        yield
