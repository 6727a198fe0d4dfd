"""The theory of the game made visible: exact generator densities, optimal discriminators, dynamics."""

from gan_research.theory.modes import Modes
from gan_research.theory.phases import Phases

__all__ = ["Modes", "Phases"]
