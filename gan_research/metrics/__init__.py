"""Feature extractors and the metrics over their features: one feature pass, every metric, one protocol."""

from gan_research.metrics.classifier import Classifier
from gan_research.metrics.evaluation import Evaluation, Protocol, RealImages
from gan_research.metrics.extractors import Extractor, Features, Inception
from gan_research.metrics.scores import METRICS, Metric

__all__ = [
    "METRICS",
    "Classifier",
    "Evaluation",
    "Extractor",
    "Features",
    "Inception",
    "Metric",
    "Protocol",
    "RealImages",
]
