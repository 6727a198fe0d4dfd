"""Interpolations: their keyframes are plain samples, bit for bit, and between them nothing jumps."""

import math
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from gan_research.networks import CNNGenerator, DCGANGenerator, MLPGenerator, ResNetGenerator
from gan_research.sampling.interpolation import Interpolation
from gan_research.sampling.priors import CodedPrior, GaussianPrior, Prior, UniformPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.images import film, grid, to_uint8
from gan_research.utils.sample_spec import SampleSpec

N = 5

GENERATORS = {
    "mlp": MLPGenerator,
    "mlp, classes in norms": lambda *a, **k: MLPGenerator(*a, norm="conditional_batch", **k),
    "dcgan": DCGANGenerator,
    "cnn": CNNGenerator,
    "resnet": lambda *a, **k: ResNetGenerator(*a, max_width=8, **k),
}


def sampler(make=MLPGenerator, num_classes=3, prior=None, channels=1, **spec):
    torch.manual_seed(0)
    prior = prior or GaussianPrior(9)
    generator = make(prior.latent_dim, SampleSpec(8, channels, num_classes, **spec), width=8)
    for parameter in generator.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))  # gains and biases of classes differ
    return Sampler(generator, prior, num_classes, generator.value_range)


@pytest.mark.parametrize("truncation", [None, 0.5])
@pytest.mark.parametrize("make", GENERATORS.values(), ids=GENERATORS.keys())
def test_keyframes_are_plain_samples_bit_for_bit(make, truncation):
    source = sampler(make).truncated(truncation)
    plain, i = source.sample(N, seed=4), torch.arange(N)
    latents = Interpolation(source, "latents", N, 3, seed=4)
    classes = Interpolation(source, "classes", N, 3, seed=4)
    both = Interpolation(source, "both", N, 3, seed=4)
    for path in (latents, classes, both):
        for k in (0, 3):  # it is closed
            assert torch.equal(path(k), plain)
    assert torch.equal(latents(1), source.sample(N, 4, i % 3, start=N))
    assert torch.equal(latents(2), source.sample(N, 4, i % 3, start=2 * N))
    assert torch.equal(classes(1), source.sample(N, 4, (i + 1) % 3))
    assert torch.equal(both(2), source.sample(N, 4, (i + 2) % 3, start=2 * N))
    for path in (latents, classes, both):
        for k in range(3):
            near, far = (path(k + t).sub(path(k)).abs().max().item() for t in (1e-4, 0.5))
            assert 0 < near < 0.01 < far


@pytest.mark.parametrize("prior", [UniformPrior(9), CodedPrior(9, 1, 3, 2), CodedPrior(9, 0, 2, 1, "uniform")])
def test_ends_are_exact_for_every_prior(prior):
    source = sampler(num_classes=0, prior=prior)
    path = Interpolation(source, "latents", N, 2, seed=1)
    assert torch.equal(path(0), source.sample(N, 1))
    assert torch.equal(path(1), source.sample(N, 1, start=N))
    halves = [path.sampler.prior.interpolate(*path.latents, t) for t in (0.0, 1.0)]
    assert all(map(torch.equal, halves, path.latents))


def test_one_class_and_latents_alone():
    source = sampler()
    path = Interpolation(source, "latents", N, 2, label=2)
    assert torch.equal(path(1), source.sample(N, labels=2, start=N))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_has_a_row_for_each_path(channels):
    source = sampler(channels=channels)
    path = Interpolation(source, "both", N, 3)
    drawn = path.grid(4)
    assert drawn.shape == (3, N * 34 + 2, 7 * 34 + 2)
    columns = [to_uint8(path(t), source.value_range) for t in (0, 1 / 3, 2 / 3, 1, 4 / 3, 5 / 3, 2)]
    expected = grid(torch.stack(columns, 1).flatten(0, 1), 7)
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("kind", ["gif", "apng", "webp"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_film_is_a_smooth_loop(channels, kind):
    source = sampler(channels=channels)
    path = Interpolation(source, "latents", 4, 3)
    frames = path.film(4)
    assert len(frames) == 12
    file = Image.open(BytesIO(film(frames, kind, 50)))
    assert (file.n_frames, file.info.get("loop")) == (12, 0)
    read = [frame.convert("RGB") for frame in ImageSequence.Iterator(file)]
    lossless = kind != "gif" or channels == 1
    for k, frame in enumerate(read):
        position = k // 4 + (1 - math.cos(math.pi * (k % 4) / 4)) / 2
        expected = grid(to_uint8(path(position), source.value_range)).permute(1, 2, 0).numpy()
        difference = np.abs(np.asarray(frame).astype(int) - expected).mean()
        assert difference == 0 if lossless else difference < 8
    images = [path(position).flatten() for position in (0, 1e-3, 1 - 1e-3, 1)]
    assert (images[1] - images[0]).norm() < 0.05 * (images[3] - images[0]).norm()
    first, middle = (path((1 - math.cos(math.pi * s)) / 2 % 3).flatten() for s in (0.01, 0.5))
    slow = (first - images[0]).norm()
    fast = (path((1 - math.cos(math.pi * 0.51)) / 2).flatten() - middle).norm()
    assert slow < 0.1 * fast  # at a keyframe it rests, so it doesn't turn abruptly


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Interpolation(sampler(num_classes=0), "classes", N, 2), "no classes to interpolate"),
        (lambda: Interpolation(sampler(num_classes=0), "both", N, 2), "no classes to interpolate"),
        (lambda: Interpolation(sampler(), "classes", N, 2, label=1), "class 1 of all samples"),
        (lambda: Interpolation(sampler(), "latents", N, 2, label=3), "classes run from 0 to 2"),
        (lambda: Interpolation(sampler(), "latents", N, 1), "keyframes is 1"),
        (lambda: Interpolation(sampler(), "latents", N, 2).grid(1), "steps is 1"),
        (lambda: Interpolation(sampler(channels=2), "latents", N, 2).grid(2), "2 channels"),
    ],
)
def test_impossible_interpolations_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


class Other(Prior):
    def sample(self, n, generator):
        return torch.rand(n, self.latent_dim, generator=generator)


def test_a_prior_without_paths_is_refused():
    with pytest.raises(UserError, match="Other has no interpolate"):
        Interpolation(sampler(prior=Other(9)), "latents", N, 2)


def test_points_are_refused():
    generator = MLPGenerator(3, SampleSpec(None, 2, value_range=(-math.inf, math.inf)), width=8)
    points = Sampler(generator, GaussianPrior(3), 0, generator.value_range)
    with pytest.raises(UserError, match="makes points"):
        Interpolation(points, "latents", N, 2)
