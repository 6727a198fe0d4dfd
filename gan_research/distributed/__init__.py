"""Several processes that play one game, or share one piece of work, and what all of them must agree on.

Each name is imported from its module when it is asked for: the variables of Slurm are read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gan_research.distributed.collectives import (
        AnyRankFlag,
        GradientAverage,
        all_reduce_mean,
        all_reduce_means,
        broadcast_tensors,
        gather_of_all,
    )
    from gan_research.distributed.group import (
        LostProcess,
        broadcast_object,
        collective,
        is_rank_zero,
        on_rank_zero,
        process_group,
        raise_on_all_ranks,
        rank_and_world_size,
        require_same,
        shard,
    )

COLLECTIVES = (
    "AnyRankFlag", "GradientAverage", "all_reduce_mean", "all_reduce_means", "broadcast_tensors", "gather_of_all",
)  # fmt: skip

__all__ = [
    "AnyRankFlag",
    "GradientAverage",
    "LostProcess",
    "all_reduce_mean",
    "all_reduce_means",
    "broadcast_object",
    "broadcast_tensors",
    "collective",
    "gather_of_all",
    "is_rank_zero",
    "on_rank_zero",
    "process_group",
    "raise_on_all_ranks",
    "rank_and_world_size",
    "require_same",
    "shard",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "collectives" if name in COLLECTIVES else "group"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
