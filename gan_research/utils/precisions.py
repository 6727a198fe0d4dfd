"""The precisions that a run can be trained in."""

from typing import Literal

Precision = Literal["32", "tf32", "bf16", "fp16", "64"]
"""32, tf32, bf16 and fp16 keep gradient penalties in float32; 64 is float64 throughout."""
