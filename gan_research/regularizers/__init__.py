"""What is added to a loss: gradient penalties, weight clipping."""

from gan_research.regularizers.base import Play, Regularizer
from gan_research.regularizers.gradient import DRAGAN, R1, R2, GradientPenalty
from gan_research.regularizers.weight_clipping import WeightClipping

__all__ = ["DRAGAN", "R1", "R2", "GradientPenalty", "Play", "Regularizer", "WeightClipping"]
