"""Real samples: sets of images and known densities, their order, and their minibatches."""

from gan_research.data.arrays import Arrays
from gan_research.data.base import Data, ImageData
from gan_research.data.densities import (
    Checkerboard,
    Density,
    Gaussian,
    GaussianMixture,
    Grid,
    Mixture1D,
    Ring,
    SwissRoll,
)
from gan_research.data.digits import Digits
from gan_research.data.folder import ImageFolder
from gan_research.data.images import Images
from gan_research.data.loading import Batch, ImageRounds, Rounds
from gan_research.data.order import Order
from gan_research.data.points import Points, PointSet
from gan_research.data.sets import FileSet, ImageSet, MappedSet, SampleSet, StoredSet, TensorSet
from gan_research.data.vision import CIFAR10, CIFAR100, MNIST, STL10, CelebA, FashionMNIST, StackedMNIST

__all__ = [
    "CIFAR10", "CIFAR100", "MNIST", "STL10", "Arrays", "Batch", "CelebA", "Checkerboard", "Data", "Density", "Digits",
    "FashionMNIST", "FileSet", "Gaussian", "GaussianMixture", "Grid", "ImageData", "ImageFolder", "ImageRounds",
    "ImageSet", "Images", "MappedSet", "Mixture1D", "Order", "PointSet", "Points", "Ring", "Rounds", "SampleSet",
    "StackedMNIST", "StoredSet", "SwissRoll", "TensorSet",
]  # fmt: skip
