"""Real images: the sets, their order, and how they reach the players."""

from gan_research.data.arrays import Arrays
from gan_research.data.base import Batch, ImageData
from gan_research.data.digits import Digits
from gan_research.data.folder import ImageFolder
from gan_research.data.loading import Rounds
from gan_research.data.order import Order
from gan_research.data.sets import FileSet, ImageSet, TensorSet
from gan_research.data.vision import CIFAR10, CIFAR100, MNIST, STL10, CelebA, FashionMNIST

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "STL10",
    "Arrays",
    "Batch",
    "CelebA",
    "Digits",
    "FashionMNIST",
    "FileSet",
    "ImageData",
    "ImageFolder",
    "ImageSet",
    "Order",
    "Rounds",
    "TensorSet",
]
