"""Several processes that play one game, or share one piece of work, and what all of them must agree on.

Each name is imported from its module when it is asked for: the variables of Slurm are read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_research.distributed.collectives import (
        AgreedFlag,
        GradientAverage,
        broadcast_tensors,
        gather_of_all,
        mean_of_all,
        means_of_all,
    )
    from gan_research.distributed.group import (
        LostProcess,
        decided_by_first,
        failing_together,
        from_first,
        is_first,
        joined,
        position,
        require_same,
        share,
        waiting,
    )

COLLECTIVES = ("AgreedFlag", "GradientAverage", "broadcast_tensors", "gather_of_all", "mean_of_all", "means_of_all")

__all__ = [
    "AgreedFlag",
    "GradientAverage",
    "LostProcess",
    "broadcast_tensors",
    "decided_by_first",
    "failing_together",
    "from_first",
    "gather_of_all",
    "is_first",
    "joined",
    "mean_of_all",
    "means_of_all",
    "position",
    "require_same",
    "share",
    "waiting",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "collectives" if name in COLLECTIVES else "group"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
