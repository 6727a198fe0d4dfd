"""Launchers: a run is trained by this process, by a job of a Slurm cluster, or by a task of a Ray cluster."""

from gan_research.launchers.base import Job, Launcher, Local
from gan_research.launchers.ray import Ray
from gan_research.launchers.slurm import Slurm

__all__ = ["Job", "Launcher", "Local", "Ray", "Slurm"]
