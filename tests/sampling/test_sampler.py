"""Samples from a generator: sample i is a function of (seed, i)."""

import math

import pytest
import torch
from torch_fidelity.noise import batch_lerp, batch_slerp_any

from gan_research.networks import DCGANGenerator, MLPGenerator
from gan_research.sampling.priors import GaussianPrior, UniformPrior
from gan_research.sampling.sampler import BLOCK, Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

GENERATORS = {
    "mlp": lambda **classes: MLPGenerator(3, SampleSpec(4, 1, **classes), width=8),
    "batch norm": lambda **classes: DCGANGenerator(3, SampleSpec(8, 1, **classes), width=4),
}
PRIORS = (GaussianPrior(3), UniformPrior(3))
family = pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS.keys())


def sampler(make=GENERATORS["mlp"], num_classes=0, prior=None, **arguments):
    torch.manual_seed(0)
    generator = make(num_classes=num_classes, **arguments)
    return Sampler(generator, prior or GaussianPrior(3), num_classes, generator.value_range)


@family
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize(
    ("start", "n", "batch_size"),
    [(0, 1, 500), (0, 7, 2), (5, 300, 64), (BLOCK - 1, 3, 500), (BLOCK, 5, 500), (2 * BLOCK + 1, 9, 4)],
)
def test_a_sample_depends_on_its_number_and_the_seed_alone(make, num_classes, start, n, batch_size):
    source = sampler(make, num_classes)
    everything = source.sample(3 * BLOCK, seed=4)
    part = source.sample(n, seed=4, start=start, batch_size=batch_size)
    assert part.shape == (n, *everything.shape[1:])
    assert part.dtype == torch.float32
    assert (part - everything[start : start + n]).abs().max().item() < 1e-5
    assert torch.equal(source.latents(n, 4, start), source.latents(3 * BLOCK, 4)[start : start + n])


def test_samples_and_seeds_differ():
    source = sampler()
    first = source.sample(2 * BLOCK + 5, seed=0).flatten(1)
    assert len({tuple(row.tolist()) for row in first}) == len(first)  # blocks, too, are not repeated
    assert (source.sample(10, seed=1).flatten(1) - first[:10]).abs().amax(1).min().item() > 1e-3


@pytest.mark.parametrize("prior", PRIORS)
def test_latents_are_those_of_the_prior(prior):
    latents = sampler(prior=prior).latents(4 * BLOCK, seed=0)
    assert latents.std().item() == pytest.approx(1 if isinstance(prior, GaussianPrior) else 3**-0.5, rel=0.05)


def test_without_classes_they_come_in_turn():
    source = sampler(num_classes=3)
    assert source.labels(5).tolist() == [0, 1, 2, 0, 1]
    assert source.labels(4, start=5).tolist() == [2, 0, 1, 2]
    assert torch.equal(source.sample(5), source.sample(5, labels=torch.tensor([0, 1, 2, 0, 1])))
    assert torch.equal(source.sample(5, labels=2), source.sample(5, labels=torch.full((5,), 2)))
    assert not torch.equal(source.sample(5, labels=2), source.sample(5, labels=1))


@pytest.mark.parametrize("labels", [3, -1, torch.tensor([0, 1, 3])])
def test_classes_that_are_not_there_are_refused(labels):
    with pytest.raises(UserError, match="classes run from 0 to 2"):
        sampler(num_classes=3).sample(3, labels=labels)
    with pytest.raises(UserError, match="is unconditional: sample without classes"):
        sampler().sample(3, labels=labels)


class Constant(torch.nn.Module):
    """Images of one row: the values given."""

    value_range = (-1.0, 1.0)

    def __init__(self, values):
        super().__init__()
        self.values = torch.nn.Parameter(torch.tensor(values))

    def forward(self, latents, labels):
        return self.values.expand(len(latents), 1, 1, -1)


@pytest.mark.parametrize(
    ("value_range", "values"),
    [((-1.0, 1.0), [-1.0, 1.0, 0.0, -0.99, 3.0, -3.0]), ((0.0, 1.0), [0.0, 1.0, 0.5, 0.005, 2.0, -1.0])],
)
def test_bytes_are_rounded_and_clamped(value_range, values):
    source = Sampler(Constant(values), GaussianPrior(3), 0, value_range)
    images = source.sample_uint8(2)
    assert images.dtype == torch.uint8
    assert images[1].flatten().tolist() == [0, 255, 128, 1, 255, 0]


def test_an_evaluation_is_given_bytes_or_points_as_they_are():
    images = sampler()
    assert not images.generates_points
    drawn = images.source(5)(3, 10)
    assert drawn.dtype == torch.uint8
    assert torch.equal(drawn, images.sample_uint8(7, seed=5, start=3))
    points = sampler(lambda **_: MLPGenerator(3, SampleSpec(None, 2, value_range=(-math.inf, math.inf)), width=8))
    assert points.generates_points
    drawn = points.source(5)(3, 10)
    assert drawn.shape == (7, 2)
    assert torch.equal(drawn, points.sample(7, seed=5, start=3))
    with pytest.raises(UserError, match="makes points"):
        points.sample_uint8(7)


@family
@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("prior", PRIORS, ids=["gaussian", "uniform"])
def test_paths_are_samples_and_what_is_a_step_away(make, num_classes, prior):
    source = sampler(make, num_classes, prior)
    drawing, n = source.source(4), BLOCK + 9
    paths = drawing.paths(0, n, 0.25)
    assert paths.dtype == torch.float32
    here, there = source.latents(n, 4), source.latents(n, 4, 0, "path ends")
    assert (here - there).abs().amax(1).min().item() > 0.01
    for i, latents in enumerate((here, prior.interpolate(here, there, 0.25))):
        levels = 127.5 * (source.generate(latents, drawing.labels(0, n)) + 1)
        torch.testing.assert_close(paths[:, i], levels, rtol=0, atol=1e-3)
    torch.testing.assert_close(drawing.paths(BLOCK - 3, n, 0.25), paths[BLOCK - 3 :], rtol=0, atol=1e-3)
    assert (drawing(0, n) - paths[:, 0]).abs().max().item() < 0.501
    no_step = drawing.paths(0, 5, 0.0)
    torch.testing.assert_close(no_step[:, 0], no_step[:, 1], rtol=0, atol=1e-3)
    assert (source.source(5).paths(0, 9, 0.25) - paths[:9]).abs().max().item() > 0.1


def test_levels_of_paths_are_neither_rounded_nor_clamped():
    source = Sampler(Constant([-1.0, 1.0, 0.0, 3.0, -3.0]), GaussianPrior(3), 0, (-1.0, 1.0))
    levels = source.source(0).paths(0, 2, 0.1)
    assert levels.shape == (2, 2, 1, 1, 5)
    assert levels[1, 1].flatten().tolist() == [0, 255, 127.5, 510, -255]


def test_points_have_no_paths():
    points = sampler(lambda **_: MLPGenerator(3, SampleSpec(None, 2, value_range=(-math.inf, math.inf)), width=8))
    with pytest.raises(UserError, match="makes points, which have no perceptual path length: leave 'ppl' out"):
        points.source(0).paths(0, 3, 1e-4)


def test_a_drawing_knows_its_classes():
    assert sampler(num_classes=3).source(7).labels(4, 9).tolist() == [1, 2, 0, 1, 2]
    assert sampler().source(7).labels(4, 9) is None


@pytest.mark.parametrize("t", [0.0, 1e-4, 0.3, 1.0])
@pytest.mark.parametrize(("prior", "theirs"), [(PRIORS[0], batch_slerp_any), (PRIORS[1], batch_lerp)])
def test_interpolation_is_torch_fidelitys(prior, theirs, t):
    a, b = (prior.sample(50, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    found = prior.interpolate(a, b, t)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), theirs(a.double(), b.double(), t), rtol=0, atol=3e-7)


def test_a_gaussian_stays_one_on_the_way():
    prior = GaussianPrior(64)
    a, b = (prior.sample(4000, torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert prior.interpolate(a, b, 0.5).square().mean().item() == pytest.approx(1, abs=0.01)  # a straight line: 1/2
    for other in (a, -a, 3 * a):  # no arc, or one of any direction: straight
        torch.testing.assert_close(prior.interpolate(a, other, 0.25), a + 0.25 * (other - a))
    assert prior.interpolate(torch.ones(1), torch.tensor([-2.0]), 0.5).tolist() == [-0.5]


@family
@pytest.mark.parametrize("training", [True, False])
def test_drawing_leaves_everything_as_it_was(make, training):
    source = sampler(make)
    source.generator.train(training)
    next(source.generator.children()).train(not training)  # parts may be in a mode of their own
    modes = [module.training for module in source.generator.modules()]
    state, noise = {k: v.clone() for k, v in source.generator.state_dict().items()}, torch.get_rng_state()
    drawn = source.sample(6)
    assert [module.training for module in source.generator.modules()] == modes
    assert torch.equal(torch.get_rng_state(), noise)
    assert all(torch.equal(v, state[k]) for k, v in source.generator.state_dict().items())
    assert not drawn.requires_grad
    assert torch.equal(drawn, source.sample(6))


def test_modes_come_back_after_an_error():
    source = sampler()
    source.generator.train()
    with pytest.raises(RuntimeError):
        Sampler(source.generator, GaussianPrior(5), 0, (-1, 1)).sample(3)
    assert all(module.training for module in source.generator.modules())
