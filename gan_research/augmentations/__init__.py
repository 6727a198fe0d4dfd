"""Augmentations: transformations of the discriminator's input images."""

from gan_research.augmentations.ada import ADA
from gan_research.augmentations.adaptive import AdaptiveAugmentation
from gan_research.augmentations.apa import APA
from gan_research.augmentations.base import Augmentation, AugmentationInput, Augmented, ImageAugmentation
from gan_research.augmentations.cutout import Cutout
from gan_research.augmentations.diff_augment import DiffAugment
from gan_research.augmentations.instance_noise import InstanceNoise

__all__ = [
    "ADA",
    "APA",
    "AdaptiveAugmentation",
    "Augmentation",
    "AugmentationInput",
    "Augmented",
    "Cutout",
    "DiffAugment",
    "ImageAugmentation",
    "InstanceNoise",
]
