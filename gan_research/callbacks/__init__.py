"""Callbacks: log, health, sample grids, evaluation, progress, checkpoints."""

from gan_research.callbacks.base import Periodic
from gan_research.callbacks.blackboard import Blackboard
from gan_research.callbacks.checkpoint import Checkpoints
from gan_research.callbacks.evaluate import Evaluate
from gan_research.callbacks.health import Health
from gan_research.callbacks.log import Log
from gan_research.callbacks.preemption import Preemption
from gan_research.callbacks.progress import ProgressBar
from gan_research.callbacks.samples import SampleGrid

__all__ = [
    "Blackboard",
    "Checkpoints",
    "Evaluate",
    "Health",
    "Log",
    "Periodic",
    "Preemption",
    "ProgressBar",
    "SampleGrid",
]
