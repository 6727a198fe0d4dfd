"""Several processes that play one game, or share one piece of work, and what all of them must agree on."""

from gan_research.distributed.collectives import (
    AgreedFlag,
    GradientAverage,
    broadcast_tensors,
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

__all__ = [
    "AgreedFlag",
    "GradientAverage",
    "LostProcess",
    "broadcast_tensors",
    "decided_by_first",
    "failing_together",
    "from_first",
    "is_first",
    "joined",
    "mean_of_all",
    "means_of_all",
    "position",
    "require_same",
    "share",
    "waiting",
]
