"""Noise of the generator's layers: one draw for each micro-batch, a function of (seed, update, position)."""

from functools import partial

import pytest
import torch
from styled import SmallStyles

from gan_research.networks import MLPDiscriminator
from gan_research.regularizers import ZCR
from gan_research.testing.checks import losses_of


def test_each_update_has_noise_of_its_own_and_accumulation_changes_nothing(play):
    passes = []

    class Watched(SmallStyles):
        def synthesise(self, ws, noise=None):
            passes.append(noise.detach().clone())
            return super().synthesise(ws, noise)

    arguments = {"rounds": 3, "batch_size": 8, "discriminator": partial(MLPDiscriminator, width=8, depth=1)}
    games, noises = [], []
    for accumulation in (1, 4):
        games.append(play(generator=Watched, accumulation=accumulation, **arguments))
        noises.append(torch.cat(passes))
        passes.clear()
    torch.testing.assert_close(games[0].generator.state_dict(), games[1].generator.state_dict(), rtol=0, atol=1e-6)
    assert torch.equal(*noises)
    assert len(noises[0]) == 3 * 2 * 8
    assert len(noises[0].unique(dim=0)) == len(noises[0])
    assert noises[0].std().item() == pytest.approx(1, abs=0.1)


def test_passes_on_one_micro_batch_share_their_noise(game):
    """zCR compares samples of close latents, which differ in nothing else."""
    gan = game(generator=SmallStyles, resolution=8, regularizers={"zcr": ZCR(sigma=1e-6)})
    with torch.no_grad():
        gan.generator.strength.fill_(10.0)
    terms = {}
    gan.objective._log = lambda name, value: terms.setdefault(name, value.detach().clone())
    for _ in losses_of(gan, ("generator",)):
        pass
    assert 0 < terms["loss/zcr/generator"].abs().item() < 1e-9
