"""Compiled networks train as eager ones do."""

import shutil
from functools import partial

import pytest
import torch

from gan_research.data import Digits
from gan_research.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    MLPDiscriminator,
    MLPGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from gan_research.regularizers import R1, GradientPenalty
from gan_research.training.ema import EMA

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on the CPU")

NETWORKS = {
    "mlp": (partial(MLPGenerator, width=8), partial(MLPDiscriminator, width=8)),
    "batch norm": (partial(DCGANGenerator, width=4), partial(DCGANDiscriminator, width=4)),
    "spectral norm": (partial(DCGANGenerator, width=4), partial(DCGANDiscriminator, width=4, norm="spectral")),
    "stylegan2": (partial(StyleGAN2Generator, width=4, max_width=4, w_dim=4), partial(StyleGAN2Discriminator, width=4)),
}
long = [pytest.param(name, marks=pytest.mark.long) for name in ("batch norm", "spectral norm", "stylegan2")]


@pytest.fixture(autouse=True)
def afresh():
    """Nothing compiled by other tests counts towards torch's limit of compilations."""
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["mlp", *long])
def test_a_compiled_game_is_the_eager_one(name, play, tmp_path):
    """Weights, buffers and samples, with a penalty that differentiates D twice in every third update."""
    games, passes = [], []
    for compiled in (False, True):
        generator, discriminator = NETWORKS[name]
        gan = play(
            data=Digits(batch_size=8), rounds=4, resolution=8, ema=EMA(decay=0.5), precision="64", compile=compiled,
            generator=generator, discriminator=discriminator,
            regularizers={"r1": R1(0.1, every=3), "gradient_penalty": GradientPenalty(1.0, every=2)},
        )  # fmt: skip
        games.append(gan.state_dict())
        passes.append(gan.sampler().sample(5, seed=0))
    assert games[0].keys() == games[1].keys()
    assert max((games[0][key] - games[1][key]).abs().max().item() for key in games[0]) < 1e-9
    assert (passes[0] - passes[1]).abs().max().item() < 1e-9


class Standin(torch.nn.Module):
    """What torch.compile would give: notes when it runs, and with what need of gradients."""

    calls = []

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, inputs, labels):
        self.calls.append((type(self.network).__name__[3], inputs.requires_grad, torch.is_grad_enabled()))
        return self.network(inputs, labels)


def test_what_is_compiled(play, monkeypatch):
    """The generator, its average and D; but for passes whose gradient is differentiated again, and exact ones."""
    monkeypatch.setattr(torch, "compile", Standin)
    monkeypatch.setattr(Standin, "calls", [])
    penalties = {"r1": R1(every=2), "gradient_penalty": GradientPenalty()}
    gan = play(rounds=2, compile=True, ema=EMA(decay=0.5), regularizers=penalties)
    fakes, judged, played = ("G", False, False), ("D", False, True), [("G", False, True), ("D", True, True)]
    # the first round's reals, for R1, and the points between for the other penalty, are left to the network itself
    assert Standin.calls == [fakes, judged, *played, fakes, judged, judged, *played]
    Standin.calls.clear()
    gan.sampler().sample(2)
    assert Standin.calls == [fakes]
    assert not any("network" in name for name in gan.state_dict())
