"""Standing statistics: batch norm's, as the mean over batches of samples."""

import pytest
import torch

from gan_research.networks import DCGANGenerator, MLPGenerator
from gan_research.networks.batch_norm import convert_sync_batch_norm
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.rng import generator_for
from gan_research.utils.sample_spec import SampleSpec


def sampler(num_classes=0, kind=DCGANGenerator):
    torch.manual_seed(0)
    samples = SampleSpec(8, 1, num_classes=num_classes)
    generator = kind(3, samples, width=4)
    return Sampler(generator, GaussianPrior(3), num_classes, generator.value_range)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_they_are_the_mean_of_the_batches_statistics(num_classes):
    """Not an exponential average over the last ones, which torch's momentum makes."""
    source, batches, size = sampler(num_classes), 40, 16
    standing = source.standing(batches, size, seed=5)
    each, generator = [], source.generator
    for layer in generator.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0  # the running statistics are those of the last batch
    generator.train()
    for batch in range(batches):
        labels = None
        if num_classes:
            draw = generator_for(5, "classes of standing statistics", batch)
            labels = torch.randint(num_classes, (size,), generator=draw)
        with torch.no_grad():
            generator(source.latents(size, 5, batch * size, "standing statistics"), labels)
        each.append({name: buffer.double() for name, buffer in generator.named_buffers() if "running" in name})
    found = dict(standing.generator.named_buffers())
    assert len(each[0]) >= 2
    for name in each[0]:
        values = torch.stack([one[name] for one in each])
        mean, recent = values.mean(0), sum(0.1 * 0.9**age * value for age, value in enumerate(values.flip(0)))
        scale = mean.abs().max().item()
        assert (found[name] - mean).abs().max().item() < 1e-6 * max(scale, 1)
        assert (found[name] - recent).abs().max().item() > 1e-3 * scale


def test_the_sampler_and_its_generator_stay_as_they_were():
    source = sampler()
    before = {name: tensor.clone() for name, tensor in source.generator.state_dict().items()}
    modes, samples = [module.training for module in source.generator.modules()], source.sample(4)
    state = torch.get_rng_state()
    standing = source.standing(3, 8)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.generator.state_dict().items())
    assert [module.training for module in source.generator.modules()] == modes
    assert torch.equal(source.sample(4), samples)
    assert (standing.sample(4) - samples).abs().max().item() > 1e-3
    assert source.standing(None) is source
    assert torch.equal(source.standing(3, 8).sample(4), standing.sample(4))
    assert not torch.equal(source.standing(3, 8, seed=1).sample(4), standing.sample(4))


def test_batch_norm_of_several_processes_is_treated_alike():
    source = sampler()
    expected = source.standing(3, 8).sample(4)
    convert_sync_batch_norm(source.generator)
    assert torch.equal(source.standing(3, 8).sample(4), expected)


def test_the_batch_size_is_that_of_training():
    source = sampler()
    with pytest.raises(UserError, match="set standing_batch_size"):
        source.standing(3)
    source.batch_size = 8
    assert torch.equal(source.standing(3).sample(4), source.standing(3, 8).sample(4))


WRONG = [((0, 8), "standing_statistics is 0"), ((3, 1), "standing_batch_size is 1")]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_no_batches_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        sampler().standing(*arguments)


def test_a_generator_without_batch_norm_is_refused():
    with pytest.raises(UserError, match="standing_statistics=3: MLPGenerator has no running statistics"):
        sampler(kind=MLPGenerator).standing(3, 8)
