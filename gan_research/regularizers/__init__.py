"""Regularizers: penalties on gradients, logits, classes and weights, and constraints on weights."""

from gan_research.regularizers.base import Regularizer
from gan_research.regularizers.conditioning import (
    AuxiliaryClassifier,
    AuxiliaryDiscriminativeClassifier,
    TwinAuxiliaryClassifier,
)
from gan_research.regularizers.consensus import Consensus
from gan_research.regularizers.consistency import CR, ZCR
from gan_research.regularizers.contrastive import ConditionalContrastive, DataToDataCrossEntropy
from gan_research.regularizers.features import FeatureMatching
from gan_research.regularizers.gradient import (
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    ApproximateR2,
    GradientPenalty,
    MaxGP,
    ZeroCentered,
)  # fmt: skip
from gan_research.regularizers.information import MutualInformation
from gan_research.regularizers.logits import Drift, LabelSmoothing, LeCam
from gan_research.regularizers.path_length import PathLength
from gan_research.regularizers.step import Progress, Side, Step
from gan_research.regularizers.weights import Orthogonal, WeightClipping

__all__ = [
    "CR", "DRAGAN", "R1", "R2", "ZCR", "ApproximateR1", "ApproximateR2", "AuxiliaryClassifier",
    "AuxiliaryDiscriminativeClassifier", "ConditionalContrastive", "Consensus", "DataToDataCrossEntropy", "Drift",
    "FeatureMatching", "GradientPenalty", "LabelSmoothing", "LeCam", "MaxGP", "MutualInformation", "Orthogonal",
    "PathLength", "Progress", "Regularizer", "Side", "Step", "TwinAuxiliaryClassifier", "WeightClipping",
    "ZeroCentered",
]  # fmt: skip
