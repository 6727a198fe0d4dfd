"""Feature extractors, by name in `EXTRACTORS`."""

from gan_research.metrics.extractors.base import EXTRACTORS, Extractor, Features, ImageNetwork, fingerprint
from gan_research.metrics.extractors.classifier import Classifier, StackedClassifier
from gan_research.metrics.extractors.inception import Inception
from gan_research.metrics.extractors.module import ModuleExtractor
from gan_research.metrics.extractors.values import MixtureModes, Values
from gan_research.metrics.extractors.vgg import LPIPS, VGG16
from gan_research.metrics.extractors.vision_transformers import CLIP, DINOv2

__all__ = [
    "CLIP",
    "EXTRACTORS",
    "LPIPS",
    "VGG16",
    "Classifier",
    "DINOv2",
    "Extractor",
    "Features",
    "ImageNetwork",
    "Inception",
    "MixtureModes",
    "ModuleExtractor",
    "StackedClassifier",
    "Values",
    "fingerprint",
]
