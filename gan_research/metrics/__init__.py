"""Feature extractors and the metrics over their features: one feature pass, every metric, one protocol."""

from gan_research.metrics.classifier import Classifier, StackedClassifier
from gan_research.metrics.coverage import HighQuality, Modes, RarestClass, ReverseKL
from gan_research.metrics.evaluation import Evaluation, Protocol, RealSet
from gan_research.metrics.extractors import Extractor, Features, Inception
from gan_research.metrics.parzen import Parzen
from gan_research.metrics.scores import FID, METRICS, InceptionScore, Metric
from gan_research.metrics.sliced import SlicedWasserstein
from gan_research.metrics.values import MixtureModes, Values

__all__ = [
    "FID",
    "METRICS",
    "Classifier",
    "Evaluation",
    "Extractor",
    "Features",
    "HighQuality",
    "Inception",
    "InceptionScore",
    "Metric",
    "MixtureModes",
    "Modes",
    "Parzen",
    "Protocol",
    "RarestClass",
    "RealSet",
    "ReverseKL",
    "SlicedWasserstein",
    "StackedClassifier",
    "Values",
]
