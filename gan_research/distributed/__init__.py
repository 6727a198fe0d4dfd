"""The process group, collectives and strategies of a run on several processes."""

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

__all__ = [
    "AnyRankFlag", "GradientAverage", "LostProcess", "all_reduce_mean", "all_reduce_means", "broadcast_object",
    "broadcast_tensors", "collective", "gather_of_all", "is_rank_zero", "on_rank_zero", "process_group",
    "raise_on_all_ranks", "rank_and_world_size", "require_same", "shard",
]  # fmt: skip
