"""The studies of `gan theory`: each composes what it studies, computes, draws, and leaves a run's folder behind."""

from gan_research.cli.studies.dynamics import dirac
from gan_research.cli.studies.games import convergence, inner_steps, modes, phases
from gan_research.cli.studies.values import losses, optimum, saturation

__all__ = ["convergence", "dirac", "inner_steps", "losses", "modes", "optimum", "phases", "saturation"]
