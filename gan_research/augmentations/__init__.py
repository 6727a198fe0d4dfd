"""Augmentations: what happens to images before the discriminator sees them."""

from gan_research.augmentations.base import Augmentation, AugmentationInput
from gan_research.augmentations.instance_noise import InstanceNoise

__all__ = ["Augmentation", "AugmentationInput", "InstanceNoise"]
