"""The studies of `gan theory`: each composes a config, computes, draws, and writes a run's folder."""

from gan_research.cli.studies.dynamics import dirac
from gan_research.cli.studies.games import convergence, inner_steps, modes, phases
from gan_research.cli.studies.tables import augmentation, conditioning
from gan_research.cli.studies.values import losses, optimum, saturation

__all__ = [
    "augmentation",
    "conditioning",
    "convergence",
    "dirac",
    "inner_steps",
    "losses",
    "modes",
    "optimum",
    "phases",
    "saturation",
]
