"""A generator as a program of torch.export makes the very same samples, in batches of any size."""

import io
from functools import partial

import pytest
import torch

from gan_research.networks import (
    BigGANGenerator,
    DCGANGenerator,
    MLPGenerator,
    ResNetGenerator,
    StyleGAN2Generator,
)
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.program import example, export_program
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec
from gan_research.utils.tf32 import products, temporarily

GENERATORS = {
    "mlp": partial(MLPGenerator, width=8),
    "dcgan": partial(DCGANGenerator, width=4),
    "resnet": partial(ResNetGenerator, width=4),
    "stylegan2": partial(StyleGAN2Generator, width=4, max_width=8, w_dim=8, mapping_layers=2),
    "biggan": partial(BigGANGenerator, width=4),
}


def sampler_of(generator, num_classes):
    torch.manual_seed(0)
    samples = SampleSpec(32 if generator is GENERATORS["biggan"] else 8, 1, num_classes)
    network = generator(latent_dim=40, samples=samples).requires_grad_(False).eval()
    return Sampler(network, GaussianPrior(40), num_classes, samples.value_range)


CASES = [("mlp", 0), ("mlp", 3), ("dcgan", 0), ("resnet", 3), ("stylegan2", 3)]


@pytest.mark.parametrize(("name", "num_classes"), [*CASES, pytest.param("biggan", 3, marks=pytest.mark.long)])
def test_it_makes_the_samples_of_the_generator(name, num_classes):
    sampler = sampler_of(GENERATORS[name], num_classes)
    program = torch.export.load(io.BytesIO(export_program(sampler))).module()
    for n in (1, 5):
        samples = program(**example(sampler, n))
        assert torch.allclose(samples, sampler.sample(n, seed=0), rtol=0, atol=1e-5)
        assert samples.std() > 1e-3


class Branching(MLPGenerator):
    """A generator whose path depends on the values of its latents."""

    def generate(self, latents, labels):
        return super().generate(latents if latents.sum() > 0 else -latents, labels)


class Random(MLPGenerator):
    """A generator that draws random numbers itself."""

    def generate(self, latents, labels):
        return super().generate(latents + torch.randn_like(latents), labels)


def test_a_generator_that_is_no_program_is_refused():
    with pytest.raises(UserError, match="Branching can't be exported as a program"):
        export_program(sampler_of(Branching, 0))
    with pytest.raises(UserError, match="the program of Random differs"):
        export_program(sampler_of(Random, 0))


def test_it_is_exported_where_tf32_is_off():
    with temporarily(products(tf32=False)):
        assert export_program(sampler_of(GENERATORS["mlp"], 0))
