"""The cost of a run on this machine: time, memory and operations, measured on its first rounds."""

from gan_research.cost.estimate import estimate

__all__ = ["estimate"]
