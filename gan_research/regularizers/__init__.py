"""What is added to a loss: penalties on gradients, logits and weights, clipping, noise."""

from gan_research.regularizers.base import Play, Regularizer
from gan_research.regularizers.consensus import Consensus
from gan_research.regularizers.gradient import DRAGAN, R1, R2, GradientPenalty, ZeroCentered
from gan_research.regularizers.instance_noise import InstanceNoise
from gan_research.regularizers.logits import LabelSmoothing, LeCam
from gan_research.regularizers.orthogonal import Orthogonal
from gan_research.regularizers.weight_clipping import WeightClipping

__all__ = [
    "DRAGAN",
    "R1",
    "R2",
    "Consensus",
    "GradientPenalty",
    "InstanceNoise",
    "LabelSmoothing",
    "LeCam",
    "Orthogonal",
    "Play",
    "Regularizer",
    "WeightClipping",
    "ZeroCentered",
]
