"""Perceptual path length: a linear generator's is known, and torch-fidelity's of the same latents is the same."""

import math

import numpy as np
import pytest
import torch
import torch_fidelity.registry
from styled import SmallStyles
from torch import nn
from torch_fidelity.generative_model_base import GenerativeModelBase
from torch_fidelity.metric_ppl import calculate_ppl
from torch_fidelity.sample_similarity_base import SampleSimilarityBase

from gan_research.metrics import Evaluation, Extractor, Features, Values
from gan_research.metrics.path_length import PathLength
from gan_research.networks import MLPGenerator
from gan_research.sampling.priors import GaussianPrior, UniformPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

PRIORS = (GaussianPrior(6), UniformPrior(6))


class SquaredDistance(Extractor):
    """The mean squared difference of a pair's levels."""

    name = "squared-distance"
    accepts = ("paths",)
    num_features = 1

    def extract(self, paths):
        return Features((paths[:, 0] - paths[:, 1]).square().mean((1, 2, 3))[:, None], None)


class Linear(nn.Module):
    """Images (N, 1, 2, 4) of levels A z, in a range of its own."""

    value_range = (0.0, 255.0)

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(8, 6, generator=torch.Generator().manual_seed(0)) * 20)

    def forward(self, latents, labels):
        return (latents @ self.matrix.T).view(-1, 1, 2, 4)


class TheirModel(GenerativeModelBase):
    """The generator of a sampler as torch-fidelity wants it: levels, of latents that are drawn by the sampler, too."""

    z_type, z_size, num_classes = "the sampler's", 6, 0

    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler

    def forward(self, latents):
        low, high = self.sampler.value_range
        return (self.sampler.generate(latents, None) - low) * (255 / (high - low))


class TheirDistance(SampleSimilarityBase):
    def __init__(self, name, **kwargs):
        super().__init__(name)

    def forward(self, a, b):
        return (a - b).square().mean((1, 2, 3))


class Images:
    """A set of images, none of which a path length wants."""

    def __len__(self):
        return 500

    def read(self, start, stop):
        return None, None


def mlp():
    torch.manual_seed(0)
    return MLPGenerator(6, SampleSpec(8, 1), width=32)


def measured(sampler, n=300, seed=0, **settings):
    metric = PathLength(SquaredDistance(), **settings)
    for start in range(0, n, 77):
        metric.update(sampler.source(seed).paths(start, min(start + 77, n), **metric.step))
    return metric.compute()


@pytest.mark.parametrize(("epsilon", "tolerance"), [(1.0, 1e-6), (1e-2, 2e-6), (1e-4, 2e-4)])
def test_a_linear_generators_is_known(epsilon, tolerance):
    sampler = Sampler(Linear(), UniformPrior(6), 0, Linear.value_range)
    steps = sampler.latents(300, 0, 0, "path ends").double() - sampler.latents(300, 0).double()
    lengths = (steps @ sampler.generator.matrix.detach().double().T).square().mean(1)
    found = measured(sampler, epsilon=epsilon, discard=0)  # whatever the step is
    assert found["ppl"] == pytest.approx(lengths.mean().item(), rel=tolerance)
    assert found["ppl_std"] == pytest.approx(lengths.std(correction=0).item(), rel=tolerance)


def test_on_the_sphere_it_tends_to_the_derivatives():
    # d/dt at t = 0 of the arc from a to b, at the angle w: w (b - cos(w) a) / sin(w), where the lengths are kept
    sampler = Sampler(Linear(), GaussianPrior(6), 0, Linear.value_range)
    a, b = sampler.latents(300, 0).double(), sampler.latents(300, 0, 0, "path ends").double()
    angle = ((a * b).sum(1) / a.norm(dim=1) / b.norm(dim=1)).acos()[:, None]
    steps = angle * (b - angle.cos() * a) / angle.sin()
    exact = (steps @ sampler.generator.matrix.detach().double().T).square().mean(1).mean().item()
    found = [measured(sampler, epsilon=epsilon, discard=0)["ppl"] for epsilon in (1e-1, 1e-2, 1e-3, 1e-4)]
    errors = [abs(value / exact - 1) for value in found]
    assert errors[0] > errors[1] > errors[2]
    assert errors[3] < 5e-4


def styles():
    torch.manual_seed(0)
    generator = SmallStyles(6, SampleSpec(4, 1, 3))
    return Sampler(generator, GaussianPrior(6), 3, generator.value_range)


@pytest.mark.parametrize("sampling", ["full", "end"])
@pytest.mark.parametrize(("epsilon", "tolerance"), [(1e-2, 2e-5), (1e-4, 2e-3)])
@pytest.mark.parametrize(("noise", "psi"), [("random", 1.0), ("none", 1.0), ("random", 0.5)])
def test_in_w_a_linear_synthesis_has_the_length_of_its_lines(sampling, epsilon, tolerance, noise, psi):
    sampler, labels = styles().styled(psi, noise=noise), torch.arange(300) % 3
    a, b = (sampler.latents(300, 0, 0, purpose) for purpose in ("sample", "path ends"))
    steps = psi * (sampler.generator.map(b, labels) - sampler.generator.map(a, labels)).flatten(1).double()
    lengths = (127.5 * steps @ sampler.generator.styles.weight.double().T).square().mean(1).detach()
    found = measured(sampler, epsilon=epsilon, discard=0, space="w", sampling=sampling)
    assert found["ppl"] == pytest.approx(lengths.mean().item(), rel=tolerance)  # both have the same noise
    assert found["ppl_std"] == pytest.approx(lengths.std(correction=0).item(), rel=tolerance)


@pytest.mark.parametrize("space", ["z", "w"])
def test_positions_are_uniform_and_of_the_seed_and_the_number(space):
    if space == "z":
        sampler = Sampler(Linear(), UniformPrior(6), 0, Linear.value_range)
        a, b = (sampler.latents(900, 1, 0, purpose) for purpose in ("sample", "path ends"))
        ends = [sampler.generate(latents, None) for latents in (a, b)]
    else:
        sampler = styles().styled(noise="none")
        a, b = (sampler.latents(900, 1, 0, purpose) for purpose in ("sample", "path ends"))
        ends = [127.5 * (sampler.generate(latents, torch.arange(900) % 3) + 1) for latents in (a, b)]
    paths = sampler.source(1).paths(0, 900, 0.1, space, "full")
    x, y = (end.flatten(1).double() for end in ends)
    first, second = (
        ((image.flatten(1).double() - x) * (y - x)).sum(1) / (y - x).square().sum(1) for image in paths.unbind(1)
    )
    torch.testing.assert_close(second - first, torch.full((900,), 0.1).double(), rtol=0, atol=1e-4)
    shares, _ = first.sort()
    assert (shares - torch.arange(900) / 900).abs().max().item() < 0.054  # Kolmogorov-Smirnov at 1 %
    part = sampler.source(1).paths(300, 350, 0.1, space, "full")
    torch.testing.assert_close(part, paths[300:350], rtol=0, atol=1e-3)


def test_in_z_the_way_goes_through_the_mapping():
    sampler = styles()
    a, b = (sampler.latents(9, 0, 0, purpose) for purpose in ("sample", "path ends"))
    stepped = sampler.generate(sampler.prior.interpolate(a, b, 0.1), torch.arange(9) % 3)  # with the samples' noise
    paths = sampler.source(0).paths(0, 9, 0.1)
    torch.testing.assert_close(paths[:, 0], 127.5 * (sampler.sample(9) + 1), rtol=0, atol=1e-3)
    torch.testing.assert_close(paths[:, 1], 127.5 * (stepped + 1), rtol=0, atol=1e-3)


@pytest.mark.parametrize("prior", PRIORS, ids=["gaussian", "uniform"])
@pytest.mark.parametrize("epsilon", [1e-2, 1e-4])
def test_it_is_torch_fidelitys(prior, epsilon, monkeypatch):
    sampler = Sampler(mlp(), prior, 0, (-1.0, 1.0))
    drawn = iter([sampler.latents(200, 5), sampler.latents(200, 5, 0, "path ends")])
    monkeypatch.setitem(torch_fidelity.registry.NOISE_SOURCE_REGISTRY, "the sampler's", lambda rng, shape: next(drawn))
    monkeypatch.setitem(torch_fidelity.registry.SAMPLE_SIMILARITY_REGISTRY, "squared", TheirDistance)
    percentile = np.percentile  # whose `interpolation` has another name since NumPy 2.4
    monkeypatch.setattr(np, "percentile", lambda x, q, interpolation: percentile(x, q, method=interpolation))
    expected = calculate_ppl(
        1,
        input1=TheirModel(sampler),
        input1_model_num_samples=200,
        batch_size=64,
        ppl_epsilon=epsilon,
        ppl_sample_similarity="squared",
        ppl_z_interp_mode="slerp_any" if isinstance(prior, GaussianPrior) else "lerp",
        cuda=False,
        verbose=False,
    )
    monkeypatch.undo()
    found = measured(sampler, 200, seed=5, epsilon=epsilon)
    tolerance = 2e-7 / epsilon  # two ways of rounding
    assert found["ppl"] == pytest.approx(expected["perceptual_path_length_mean"], rel=tolerance)
    assert found["ppl_std"] == pytest.approx(expected["perceptual_path_length_std"], rel=tolerance)


@pytest.mark.parametrize(
    ("discard", "kept"),
    [(0, range(1, 301)), (1, range(3, 299)), (10, range(30, 272)), (49.9, (150, 151))],
)
def test_the_shortest_and_longest_are_left_out(discard, kept):
    paths = torch.zeros(300, 2, 1, 1, 1)
    paths[:, 1, 0, 0, 0] = 1 + torch.randperm(300, generator=torch.Generator().manual_seed(0))
    metric = PathLength(SquaredDistance(), epsilon=0.5, discard=discard)
    metric.update(paths)
    expected = 4.0 * np.square(kept)  # the p-th percentile of 300 is at place 2.99 p of 0 to 299
    assert metric.compute() == pytest.approx({"ppl": expected.mean(), "ppl_std": expected.std()}, rel=1e-12)


def test_an_evaluation_asks_for_paths():
    sampler = Sampler(mlp(), GaussianPrior(6), 0, (-1.0, 1.0))
    settings = {"ppl": {"epsilon": 1e-2, "discard": 5.0}}
    evaluation = Evaluation(SquaredDistance(), ["ppl"], num_samples=300, batch_size=77, settings=settings, cache=False)
    evaluation.prepare(Images())
    assert evaluation(sampler.source(3)) == pytest.approx(measured(sampler, seed=3, **settings["ppl"]), rel=1e-6)
    assert evaluation.protocol().settings == {"ppl": settings["ppl"] | {"space": "z", "sampling": "end"}}
    assert evaluation.columns == {"ppl": "min"}
    of_w = Evaluation(SquaredDistance(), ["ppl"], settings={"ppl": {"space": "w"}}, cache=False)
    with pytest.raises(UserError, match="metric 'ppl' with space=w: MLPGenerator has no mapping"):
        of_w.check(sampler)
    of_w.check(styles())
    evaluation.check(sampler)
    with pytest.raises(UserError, match="path lengths need a generator, not a set of its images"):
        evaluation(Images())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0.0}, "epsilon of more than 0 and at most 1, not 0.0"),
        ({"epsilon": math.nan}, "epsilon of more than 0 and at most 1, not nan"),
        ({"epsilon": 1.5}, "epsilon of more than 0 and at most 1, not 1.5"),
        ({"discard": -1.0}, "discard of 0 to less than 50 percent, not -1.0"),
        ({"discard": 50.0}, "discard of 0 to less than 50 percent, not 50.0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        PathLength(SquaredDistance(), **settings)


def test_extractors_of_single_images_are_refused():
    with pytest.raises(UserError, match="'ppl' can't use extractor 'values'"):
        PathLength(Values()).check(100)
    with pytest.raises(UserError, match="takes pairs of images, a small step of the latents apart"):
        PathLength(SquaredDistance()).update(torch.zeros(3, 1, 4, 4, dtype=torch.uint8))
