"""Generators and discriminators of any resolution and channel count, their heads and layers."""

from gan_research.networks.base import Discriminator, Generator, base_and_doublings
from gan_research.networks.biggan import (
    BigGANDeepDiscriminator,
    BigGANDeepGenerator,
    BigGANDiscriminator,
    BigGANGenerator,
)
from gan_research.networks.cnn import CNNDiscriminator, CNNGenerator
from gan_research.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from gan_research.networks.dcgan_tf import TFDCGANDiscriminator, TFDCGANGenerator
from gan_research.networks.heads import Head, LinearHead, ProjectionHead, make_head
from gan_research.networks.mapped import MappedGenerator
from gan_research.networks.mlp import MLPDiscriminator, MLPGenerator
from gan_research.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gan_research.networks.resnet import ResNetDiscriminator, ResNetGenerator
from gan_research.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator
from gan_research.utils.sample_spec import SampleSpec

__all__ = [
    "BigGANDeepDiscriminator", "BigGANDeepGenerator", "BigGANDiscriminator", "BigGANGenerator", "CNNDiscriminator",
    "CNNGenerator", "DCGANDiscriminator", "DCGANGenerator", "Discriminator", "Generator", "Head", "LinearHead",
    "MLPDiscriminator", "MLPGenerator", "MappedGenerator", "ProjectionHead", "R3GANDiscriminator", "R3GANGenerator",
    "ResNetDiscriminator", "ResNetGenerator", "SampleSpec", "StyleGAN2Discriminator", "StyleGAN2Generator",
    "TFDCGANDiscriminator", "TFDCGANGenerator", "base_and_doublings", "make_head",
]  # fmt: skip
