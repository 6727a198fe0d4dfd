"""Metrics, feature extractors, and evaluations that compute several metrics in one feature pass."""

from gan_research.metrics.base import METRICS, Metric
from gan_research.metrics.coverage import ClassAccuracy, HighQuality, LargestMode, Modes, RarestClass, ReverseKL
from gan_research.metrics.evaluation import Evaluation
from gan_research.metrics.evaluations import Evaluations
from gan_research.metrics.extractors.base import EXTRACTORS, Extractor, Features, ImageNetwork
from gan_research.metrics.extractors.classifier import Classifier, StackedClassifier
from gan_research.metrics.extractors.inception import Inception
from gan_research.metrics.extractors.module import ModuleExtractor
from gan_research.metrics.extractors.values import MixtureModes, Values
from gan_research.metrics.extractors.vgg import LPIPS, VGG16
from gan_research.metrics.extractors.vision_transformers import CLIP, DINOv2
from gan_research.metrics.frechet import FID, InfiniteFID, IntraClassFID
from gan_research.metrics.inception_score import InceptionScore
from gan_research.metrics.kid import KID
from gan_research.metrics.neighbours import DensityCoverage, PrecisionRecall
from gan_research.metrics.parzen import Parzen
from gan_research.metrics.path_length import PathLength
from gan_research.metrics.protocol import Protocol
from gan_research.metrics.sliced import SlicedWasserstein

__all__ = [
    "CLIP", "EXTRACTORS", "FID", "KID", "LPIPS", "METRICS", "VGG16", "ClassAccuracy", "Classifier", "DINOv2",
    "DensityCoverage", "Evaluation", "Evaluations", "Extractor", "Features", "HighQuality", "ImageNetwork", "Inception",
    "InceptionScore", "InfiniteFID", "IntraClassFID", "LargestMode", "Metric", "MixtureModes", "Modes",
    "ModuleExtractor", "Parzen", "PathLength", "PrecisionRecall", "Protocol", "RarestClass", "ReverseKL",
    "SlicedWasserstein", "StackedClassifier", "Values",
]  # fmt: skip
