"""Directions by a generator's first weights: closed forms, and the right weights of every network."""

import math
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from styled import SmallStyles
from torch import nn

from gan_research.networks import MappedGenerator, MLPGenerator
from gan_research.networks.layers import spectral
from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.sampler import Sampler
from gan_research.sampling.sefa import directions, directions_png, moved
from gan_research.utils.errors import UserError
from gan_research.utils.images import to_uint8
from gan_research.utils.sample_spec import SampleSpec

CONF = Path(__file__).parents[2] / "conf" / "generator"

# name of the choice -> (knobs that make it tiny, latent_dim larger than the rank, the layers that get the latents)
NETWORKS = {
    "mlp": ({"width": 5}, 12, lambda g: [[g.body[0]]]),
    "cnn": ({"width": 1, "max_width": 1}, 24, lambda g: [[g.linear]]),
    "dcgan": ({"width": 1, "max_width": 1}, 24, lambda g: [[g.convs[0]]]),
    "dcgan_tf": ({"width": 1}, 24, lambda g: [[g.linear]]),
    "resnet": ({"width": 1, "max_width": 1, "spectral_norm": "all"}, 24, lambda g: [[g.linear]]),
    "r3gan": ({"width": 2, "max_width": 2, "group_width": 4}, 12, lambda g: [[g.linear]]),
    "biggan": ({"width": 4, "multipliers": [1, 1], "shared_dim": 5}, 160, lambda g: [[g.linear], norms(g)]),
    "biggan_deep": (
        {"width": 4, "multipliers": [1, 1], "shared_dim": 5},
        160,
        lambda g: [[g.linear, *norms(g)]],
    ),
}


def norms(generator):
    return [affine for block in generator.blocks for name in sorted(names_of(block)) for affine in pair(block, name)]


def names_of(block):
    return [name for name, _ in block.named_children() if name.startswith("norm")]


def pair(block, name):
    norm = getattr(block, name)
    return [norm.gain, norm.bias]


def test_every_choice_is_here():
    mapped = {"stylegan2"}  # of w: tests/networks
    assert {path.stem for path in CONF.glob("*.yaml")} - mapped == set(NETWORKS)


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_affine_maps_are_those_of_the_latents(name, num_classes):
    """Their layers' outputs change by A d, and nothing changes in a direction that A doesn't see."""
    knobs, latent_dim, layers_of = NETWORKS[name]
    torch.manual_seed(0)
    knobs = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml")) | knobs
    generator = instantiate(knobs, _partial_=True)(latent_dim, SampleSpec(8, 1, num_classes))
    for parameter in generator.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    generator(torch.randn(8, latent_dim), labels := torch.arange(8) % 3 if num_classes else None)
    generator.eval()
    matrix = torch.cat(generator.first_affines()).detach()
    assert matrix.shape[1] == latent_dim
    outputs, layers = [], [layer for part in layers_of(generator) for layer in part]
    for layer in layers:
        layer.register_forward_hook(lambda *call: outputs.append(call[2].flatten(1)))
    z, step = torch.randn(2, 8, latent_dim)
    before, after = generator(z, labels), generator(z + step, labels)
    first, second = (torch.cat(half, 1) for half in (outputs[: len(layers)], outputs[len(layers) :]))
    torch.testing.assert_close(second - first, step @ matrix.T, rtol=1e-4, atol=1e-4)
    assert (after - before).abs().max().item() > 1e-4
    unseen = torch.linalg.svd(matrix.double()).Vh[-1].float()
    assert (matrix @ unseen).abs().max().item() < 1e-5
    torch.testing.assert_close(generator(z + 3 * unseen, labels), before, rtol=0, atol=1e-4)


def linear(rows=16, columns=6):
    """A generator of points A z + b."""
    torch.manual_seed(0)
    samples = SampleSpec(None, rows, value_range=(-math.inf, math.inf))
    return MLPGenerator(columns, samples, depth=0)


@pytest.mark.parametrize(("rows", "columns"), [(16, 6), (4, 6)])
def test_directions_are_orthonormal_and_change_a_linear_sample_by_sigma(rows, columns):
    generator = linear(rows, columns)
    sigmas, vectors = directions(generator)
    k = min(rows, columns)
    assert (sigmas.shape, vectors.shape) == ((k,), (k, columns))
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(k), rtol=0, atol=1e-6)
    assert (sigmas.diff() < 0).all()
    (matrix,) = generator.first_affines()
    torch.testing.assert_close((vectors @ matrix.T).norm(dim=1), sigmas, rtol=1e-5, atol=0)
    largest = torch.linalg.eigvalsh((matrix.T @ matrix).detach()).flip(0)[:k].sqrt()
    torch.testing.assert_close(sigmas, largest, rtol=1e-4, atol=1e-5)
    z = torch.randn(1, columns)
    with torch.no_grad():
        changes = (generator(z + vectors) - generator(z)).norm(dim=1)
    torch.testing.assert_close(changes, sigmas, rtol=1e-5, atol=0)
    assert (vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all()
    generator.body[0].weight.data.neg_()  # signs are fixed by the direction itself
    torch.testing.assert_close(directions(generator)[1], vectors)


def test_weights_are_those_under_the_spectral_norm():
    generator = linear()
    before = directions(generator)[0]
    spectral(generator)
    generator.train()
    buffers = {name: value.clone() for name, value in generator.named_buffers()}
    sigmas, _ = directions(generator)
    assert all(torch.equal(value, buffers[name]) for name, value in generator.named_buffers())  # no power iteration
    assert generator.training
    torch.testing.assert_close(sigmas, before / before[0], rtol=1e-3, atol=0)


def styles(kind=SmallStyles):
    torch.manual_seed(0)
    generator = kind(3, SampleSpec(4, 1, 3))
    return Sampler(generator, GaussianPrior(3), 3, generator.value_range)


def test_w_is_moved_in_all_layers():
    sampler = styles().styled(0.7)
    sigmas, vectors = directions(sampler.generator)
    assert vectors.shape == (6, 6)
    latents, labels, of = sampler.latents(4, 2), torch.arange(4) % 3, NoiseOf(2, range(4))
    move = 2 * vectors[1]
    found = moved(sampler, latents, labels, move.expand(4, -1), of)
    change = sampler.generator.styles(move.repeat(4)).view(1, 4, 4).detach()
    torch.testing.assert_close(found, sampler.sample(4, seed=2) + change)
    assert sigmas[0] > sigmas[-1] > 0


def test_latents_are_moved_after_their_truncation():
    torch.manual_seed(0)
    generator = MLPGenerator(3, SampleSpec(4, 1), width=8)
    sampler = Sampler(generator, GaussianPrior(3), 0, (-1.0, 1.0))
    latents, move = sampler.latents(4, 2), 5 * torch.eye(3)[1].expand(4, -1)
    expected = generator(sampler.prior.truncate(latents, 0.5) + move).detach()
    torch.testing.assert_close(moved(sampler.truncated(0.5), latents, None, move), expected)


@pytest.mark.parametrize(
    "make", [styles, lambda: Sampler(MLPGenerator(3, SampleSpec(4, 1, 3)), GaussianPrior(3), 3, (-1.0, 1.0))]
)
def test_the_figure_has_a_row_for_each_direction(make):
    sampler = make()
    figure = np.asarray(Image.open(BytesIO(directions_png(sampler, seed=5, count=2, steps=3, shift=2.0, label=1))))
    middle = to_uint8(sampler.sample(1, 5, labels=1), sampler.value_range)[0, 0].numpy()
    sides = np.stack([figure[26 + 34 * row + 2 :, 84 + 34 * column + 2 :][:32:8, :32:8, 0] for row, column in PLACES])
    assert figure.shape == (26 + 2 * 34 + 2 + 20, 84 + 3 * 34 + 2 + 4, 3)
    for place, image in zip(PLACES, sides, strict=True):
        near = np.abs(image.astype(int) - middle).max() <= 1
        assert near == (place[1] == 1)


PLACES = [(row, column) for row in range(2) for column in range(3)]


class Untold(SmallStyles):
    first_affines = MappedGenerator.first_affines


class Plain(MLPGenerator):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.body = nn.ModuleList()


def test_what_has_no_directions_is_refused():
    with pytest.raises(UserError, match="Untold doesn't tell its first affine maps: implement first_affines"):
        directions(styles(Untold).generator)
    with pytest.raises(UserError, match="Plain doesn't tell its first affine maps"):
        directions(Plain(3, SampleSpec(4, 1)))
    points = Sampler(linear(), GaussianPrior(6), 0, (-math.inf, math.inf))
    with pytest.raises(UserError, match="makes points"):
        directions_png(points)
