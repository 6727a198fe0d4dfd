"""Regularizers: penalties on gradients, logits and weights, and constraints on weights."""

from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.consensus import Consensus
from gan_research.regularizers.gradient import DRAGAN, R1, R2, GradientPenalty, ZeroCentered
from gan_research.regularizers.logits import AuxiliaryClassifier, LabelSmoothing, LeCam
from gan_research.regularizers.step import Progress, Side, Step
from gan_research.regularizers.weights import Orthogonal, WeightClipping

__all__ = [
    "DRAGAN", "R1", "R2", "AuxiliaryClassifier", "Consensus", "GradientPenalty", "LabelSmoothing", "LeCam",
    "Orthogonal", "Progress", "Regularizer", "Side", "Step", "WeightClipping", "ZeroCentered",
]  # fmt: skip
