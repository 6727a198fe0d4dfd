"""Path length regularization: closed forms of a linear generator, its average, its gradient and what it asks for."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from styled import SmallStyles
from torch import nn

from gan_research.networks import MappedGenerator
from gan_research.regularizers import PathLength
from gan_research.testing.checks import losses_of
from gan_research.training.refinement import StyleMixing
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise
from gan_research.utils.sample_spec import SampleSpec


class Linear(MappedGenerator):
    """G(w) = c Q w_1 for Q orthogonal (16, 16), of one layer; w = z."""

    def __init__(self, latent_dim, samples, scale=3.0, num_ws=1):
        super().__init__(latent_dim, samples)
        self.num_ws, self.w_dim, self.scale = num_ws, latent_dim, nn.Parameter(torch.tensor(scale))
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("q", torch.linalg.qr(torch.randn(16, 16, generator=generator)).Q)

    def to_w(self, latents, labels):
        return latents

    def synthesise(self, ws, noise=None):
        return (self.scale * ws.sum(1) @ self.q.T).view(-1, 1, 4, 4)


class Curved(SmallStyles):
    """G(w) = tanh(B w), whose slope depends on w."""

    def synthesise(self, ws, noise=None):
        return super().synthesise(ws, noise).tanh()


def penalized(regularizer, generator, samples=20_000, latents=None):
    """The penalty of each sample, and the logged average."""
    latents = torch.randn(samples, 16).requires_grad_() if latents is None else latents
    logged = {}
    step = SimpleNamespace(
        networks={"generator": generator},
        latents=latents,
        fake=SimpleNamespace(condition=None),
        layer_noise=None,
        noise=Noise(1, 0, len(latents), 0, len(latents)),
        log=lambda name, value: logged.setdefault(name, value.item()),
    )
    return regularizer.penalty(step), logged["path_length"]


MEAN = 0.75 * math.sqrt(2) * math.gamma(8.5) / math.gamma(8)  # c / 4 E||y|| of 16 standard normal numbers, c = 3


@pytest.mark.parametrize("num_ws", [1, 2, 8])
def test_the_length_of_a_linear_generator_is_known(num_ws):
    """2.9535 for c = 3, for any number of layers that have the same slope: the mean over them is in the root."""
    assert pytest.approx(2.9535, abs=5e-5) == MEAN
    regularizer = PathLength(decay=1.0, share=1.0)
    penalty, mean = penalized(regularizer, Linear(16, SampleSpec(4, 1), num_ws=num_ws))
    assert mean == regularizer.mean.item() == pytest.approx(MEAN, abs=0.02)  # 5 standard errors
    variance = 9 / 16 * 16 - MEAN**2
    assert penalty.mean().item() == pytest.approx(variance, rel=0.05)


def test_it_is_0_where_all_lengths_are_the_average():
    """One sample and decay 1: its length is the average."""
    penalty, mean = penalized(PathLength(decay=1.0, share=1.0), Linear(16, SampleSpec(4, 1)), samples=1)
    assert penalty.item() == pytest.approx(0, abs=1e-10)
    assert mean > 1


def test_the_new_average_is_subtracted_and_its_newest_part_has_a_gradient():
    """One sample of length l = c u: (l - (1 - d) a - d l)^2, whose slope in c is 2 (1 - d) u (l - a')."""
    latents = torch.randn(1, 16).requires_grad_()
    generator = Linear(16, SampleSpec(4, 1))
    _, length = penalized(PathLength(decay=1.0, share=1.0), generator, latents=latents)
    regularizer = PathLength(decay=0.01, share=1.0)
    regularizer.mean.fill_(2.0)
    penalty, mean = penalized(regularizer, generator, latents=latents)
    assert mean == regularizer.mean.item() == pytest.approx(0.99 * 2 + 0.01 * length, rel=1e-6)
    assert penalty.item() == pytest.approx((length - mean) ** 2, rel=1e-4)
    (slope,) = torch.autograd.grad(penalty.sum(), generator.scale)
    assert slope.item() == pytest.approx(2 * 0.99 * (length / 3) * (length - mean), rel=1e-4)


@pytest.mark.parametrize("mixing", [None, StyleMixing(1.0)])
def test_its_gradient_is_that_of_differences(mixing, game):
    """In all parameters, the mapping's too, with the average kept where it was."""
    penalty = PathLength(3.0, own_step=True)
    gan = game(generator=Curved, precision="64", refinement=mixing, regularizers={"path": penalty})
    regularizer, parameters = gan.regularizers["path"], list(gan.generator.parameters())

    def loss():
        regularizer.mean.fill_(0.3)
        return list(losses_of(gan, ("generator",)))[-1][1]

    slopes = torch.autograd.grad(loss(), parameters, materialize_grads=True)
    names = [name for name, _ in gan.generator.named_parameters()]
    zero = [name for name, slope in zip(names, slopes, strict=True) if slope.abs().max() == 0]
    assert zero == ["classes"]  # without classes
    for parameter, slope in zip(parameters, slopes, strict=True):
        for index in range(0, parameter.numel(), max(1, parameter.numel() // 3)):
            values = []
            for sign in (1, -1):
                parameter.data.view(-1)[index] += sign * 1e-6
                values.append(loss().item())
                parameter.data.view(-1)[index] -= sign * 1e-6
            difference = (values[0] - values[1]) / 2e-6
            assert slope.flatten()[index].item() == pytest.approx(difference, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("arguments", [{"precision": "bf16"}, {"compile": True}])
@pytest.mark.parametrize("own_step", [False, True])
def test_it_is_taken_in_float32_and_uncompiled(arguments, own_step, play, monkeypatch):
    seen, inside = [], []

    class Watched(SmallStyles):
        def map(self, latents, labels=None):
            ws = super().map(latents, labels)
            seen.append((len(latents), ws.dtype, torch.is_autocast_enabled("cpu"), bool(inside)))
            return ws

    def compiled(network):
        def run(*inputs):
            inside.append(network)
            out = network(*inputs)
            inside.pop()
            return out

        return run

    monkeypatch.setattr(torch, "compile", compiled)
    gan = play(rounds=1, generator=Watched, regularizers={"path": PathLength(own_step=own_step)}, **arguments)
    of_half = [entry for entry in seen if entry[0] == 2]
    assert of_half == [(2, torch.float32, False, False)]
    assert all(any(entry[2:]) for entry in seen if entry[0] == 4)  # of the losses
    assert gan.regularizers["path"].mean > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regularizers": {"path": PathLength()}}, "path_length needs a generator with a mapping, unlike MLPGenerator"),
        (
            {"regularizers": {"path": PathLength()}, "generator": SmallStyles, "accumulation": 2},
            "PathLength needs the whole minibatch, which accumulation=2 splits",
        ),
    ],
)
def test_games_that_are_refused(arguments, message, game):
    with pytest.raises(UserError, match=message):
        game(**arguments)


@pytest.mark.parametrize(("name", "value"), [("decay", 0.0), ("decay", 1.5), ("share", 0.7), ("share", 0.0)])
def test_arguments_that_are_refused(name, value):
    with pytest.raises(UserError, match=f"{name}={value}: set it to"):
        partial(PathLength, **{name: value})()
