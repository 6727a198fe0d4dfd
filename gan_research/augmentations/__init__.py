"""Augmentations: transformations of the discriminator's input images."""

from gan_research.augmentations.base import Augmentation, AugmentationInput, Augmented
from gan_research.augmentations.instance_noise import InstanceNoise

__all__ = ["Augmentation", "AugmentationInput", "Augmented", "InstanceNoise"]
