"""Launchers: a run is trained by this process, or by a job of a cluster."""

from gan_research.launchers.base import Job, Launcher, Local
from gan_research.launchers.slurm import Slurm

__all__ = ["Job", "Launcher", "Local", "Slurm"]
