"""The theory of GANs in numbers and figures: generator densities, optimal discriminators, dynamics."""

from gan_research.theory.modes import Modes
from gan_research.theory.phases import Phases

__all__ = ["Modes", "Phases"]
