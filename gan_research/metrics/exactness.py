"""Arithmetic for measuring: float32 that is float32, and the same each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from gan_research.utils.tf32 import Setting, products, temporarily


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, no TF32 or bfloat16 in place of float32, and deterministic convolutions.

    Afterwards each setting is what it was.
    """
    with torch.no_grad(), torch.autocast(device.type, enabled=False), temporarily(_settings()):
        yield


def _settings() -> list[Setting]:
    cudnn: Any = torch.backends.cudnn
    always = [(cudnn, "deterministic", True), (cudnn, "benchmark", False), *products(tf32=False)]
    if not hasattr(cudnn, "conv"):  # before torch 2.9
        return always
    mkldnn: Any = torch.backends.mkldnn
    return always + [(part, "fp32_precision", "ieee") for part in (mkldnn.matmul, mkldnn.conv)]
