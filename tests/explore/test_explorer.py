"""An image of the page is the sampler's, bit for bit, and changes as its settings say."""

from dataclasses import replace

import pytest
import torch
from styled import SmallStyles
from torch import nn

from gan_research.explore.explorer import Explorer
from gan_research.explore.view import Place, View
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.sampler import Sampler
from gan_research.sampling.sefa import directions, moved
from gan_research.sampling.selection import Rejection
from gan_research.utils.errors import UserError
from gan_research.utils.images import to_uint8
from gan_research.utils.sample_spec import SampleSpec

OTHER = Place(5, 2, 1)


class Styles(SmallStyles):
    def first_affines(self):
        return [*self.styles.weight.split(self.w_dim, 1)]


def sampler_of(network, classes=3, channels=1):
    torch.manual_seed(0)
    samples = SampleSpec(8, channels, classes)
    generator = network(latent_dim=6, samples=samples)
    return Sampler(generator, GaussianPrior(6), classes, samples.value_range)


@pytest.fixture(params=["plain", "mapped", "colour"])
def sampler(request):
    network = Styles if request.param == "mapped" else MLPGenerator
    return sampler_of(network, *((0, 3) if request.param == "colour" else ()))


def test_the_default_is_what_gan_sample_draws(sampler):
    explorer = Explorer(sampler)
    assert torch.equal(explorer.images(View(Place(7)), 16), sampler.sample_uint8(16, 7))
    assert torch.equal(explorer.images(View(Place(7, 3))), sampler.sample_uint8(1, 7, start=3))
    if sampler.num_classes:
        assert torch.equal(explorer.images(View(Place(7, 3, 2))), sampler.sample_uint8(1, 7, 2, start=3))


def test_truncation_and_styles_are_the_samplers(sampler):
    explorer = Explorer(sampler)
    assert torch.equal(explorer.images(View(truncation=0.4), 4), sampler.truncated(0.4).sample_uint8(4))
    assert not torch.equal(explorer.images(View(truncation=0.4), 4), sampler.sample_uint8(4))
    if explorer.layers:
        styled = sampler.styled(0.3, 2, "none")
        assert torch.equal(explorer.images(View(psi=0.3, cutoff=2, noise="none"), 4), styled.sample_uint8(4))
        same = explorer.images(View(psi=0.0, noise="none"), 4)
        assert torch.equal(same, same[:1].expand_as(same))


def test_the_mean_of_w_is_computed_once(monkeypatch):
    explorer, calls = Explorer(sampler_of(SmallStyles)), []
    mean_w = Sampler.mean_w
    monkeypatch.setattr(Sampler, "mean_w", lambda self, by_class=False: calls.append(1) or mean_w(self, by_class))
    for psi in (0.1, 0.5, 1.0, -0.2):
        explorer.images(View(psi=psi))
    assert calls == [1]


def test_a_way_leads_from_one_sample_to_the_other(sampler):
    other = OTHER if sampler.num_classes else replace(OTHER, label=None)
    view = View(Place(7, 3), other)
    path = Explorer(sampler).path(view, 5)
    ends = torch.cat([sampler.sample_uint8(1, 7, start=3), sampler.sample_uint8(1, 5, other.label, start=2)])
    assert torch.equal(path[0], ends[0])
    torch.testing.assert_close(path[4], ends[1], atol=1, rtol=0)
    a, b = sampler.latents(1, 7, 3), sampler.latents(1, 5, 2)
    noise = NoiseOf(7, [3], towards=NoiseOf(5, [2]), t=0.5)
    if sampler.mapped:
        classes = (sampler.labels(1, None, 3), sampler.labels(1, 1))
        ws = sum(sampler.map(*pair) for pair in zip((a, b), classes, strict=True)) / 2
        halfway = sampler.synthesise(ws, None, noise_of=noise)
    else:
        labels = torch.tensor([[0.5, 0.5, 0.0]]) if sampler.num_classes else None
        halfway = sampler.generate(sampler.prior.interpolate(a, b, 0.5), labels)
    torch.testing.assert_close(path[2], to_uint8(halfway, sampler.value_range)[0], atol=1, rtol=0)


def test_moves_are_along_the_directions_of_sefa(sampler):
    explorer = Explorer(sampler)
    sigmas, vectors = directions(sampler.generator)
    assert torch.equal(explorer.directions[0], sigmas)
    moves = (2.0 * vectors[0] - vectors[2]).expand(3, -1)
    expected = moved(sampler, sampler.latents(3, 0), sampler.labels(3), moves, NoiseOf(0, range(3)))
    found = explorer.images(View(moves=(2, 0, -1)), 3)
    torch.testing.assert_close(found, to_uint8(expected, sampler.value_range), atol=1, rtol=0)
    assert not torch.equal(found, sampler.sample_uint8(3))
    assert torch.equal(explorer.images(View(moves=(0.0, 0.0)), 3), sampler.sample_uint8(3))


class Unknown(MLPGenerator):
    def first_affines(self):
        raise NotImplementedError


class NoCDF(GaussianPrior):
    def cdf(self, latents):
        raise NotImplementedError


def test_what_a_generator_cannot_do_is_known():
    explorer = Explorer(sampler_of(Unknown))
    assert (len(explorer.directions[0]), explorer.layers, explorer.has_noise, explorer.can_truncate) == (
        0,
        0,
        False,
        True,
    )
    explorer.sampler.prior = NoCDF(6)
    assert not explorer.can_truncate
    mapped = Explorer(sampler_of(SmallStyles))
    assert (mapped.layers, mapped.has_noise) == (mapped.sampler.mapped.num_ws, True)
    assert f"w of {mapped.layers} x " in mapped.description


def test_only_images_are_explored():
    points = Sampler(nn.Linear(2, 2), GaussianPrior(2), 0, (-torch.inf, torch.inf))
    with pytest.raises(UserError, match="points"):
        Explorer(points)
    with pytest.raises(UserError, match="4 channels"):
        Explorer(sampler_of(MLPGenerator, channels=4))


def test_selected_samples_are_those_of_gan_sample(monkeypatch):
    plain = sampler_of(SmallStyles, channels=1)
    discriminator = MLPDiscriminator(samples=SampleSpec(8, 1, 0))
    discriminator.logits_are_log_odds = True
    selecting = plain.selecting(Rejection(burn_in=100, max_tries=5), discriminator)
    expected, burn_ins = selecting.styled(0.7).sample_uint8(6, 7, 1, start=2), []
    bounds = Rejection.bounds
    monkeypatch.setattr(Rejection, "bounds", lambda *args: burn_ins.append(1) or bounds(*args))
    explorer = Explorer(selecting)
    view = View(Place(7, 2, 1), Place(7, 3, 1), psi=0.7)
    assert torch.equal(explorer.images(view, 6), expected)
    assert not torch.equal(expected, plain.styled(0.7).sample_uint8(6, 7, 1, start=2))
    path = explorer.path(view, 3)
    assert len(burn_ins) == 2  # for psi = 1 of the first image, and for psi = 0.7
    assert torch.equal(path[0], expected[0])
    torch.testing.assert_close(path[2], selecting.styled(0.7).sample_uint8(1, 7, 1, start=3)[0], atol=1, rtol=0)
