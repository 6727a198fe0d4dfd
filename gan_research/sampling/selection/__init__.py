"""Samplers that use the discriminator."""

from gan_research.sampling.selection.base import Selection
from gan_research.sampling.selection.candidates import Metropolis, Rejection
from gan_research.sampling.selection.langevin import DDLS

__all__ = ["DDLS", "Metropolis", "Rejection", "Selection"]
