"""Truncated latents: the prior's values below a threshold, sample by sample."""

import math

import pytest
import torch

from gan_research.metrics.protocol import Protocol
from gan_research.networks import MLPGenerator
from gan_research.sampling.priors import CodedPrior, GaussianPrior, Prior, UniformPrior
from gan_research.sampling.sampler import Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec


def drawn(prior, n):
    return prior.sample(n, torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("threshold", "variance"), [(0.5, 0.0806), (1.0, 0.2911), (2.0, 0.7737)])
def test_a_truncated_gaussian_has_its_variance(threshold, variance):
    prior = GaussianPrior(100)
    z = drawn(prior, 2000)
    truncated = prior.truncate(z, threshold)
    assert truncated.dtype == torch.float32
    assert truncated.abs().max().item() <= threshold
    assert truncated.var().item() == pytest.approx(variance, rel=0.01)  # its standard error is below 0.3 %
    order = z.flatten().argsort()
    assert (truncated.flatten()[order].diff() >= 0).all()  # the order stays, and the quantile too
    shares = torch.special.ndtr(truncated.double())
    low = torch.special.ndtr(torch.tensor(-threshold).double())
    torch.testing.assert_close((shares - low) / (1 - 2 * low), torch.special.ndtr(z.double()), rtol=0, atol=1e-6)


def test_tails_are_exact_in_float32():
    prior = GaussianPrior(1)
    z = torch.tensor([-6.0, -5.5, -1e-6, 0.0, 1e-6, 5.5, 6.0])[:, None]
    torch.testing.assert_close(prior.truncate(z, 12.0), z, rtol=1e-6, atol=1e-9)  # nothing of the mass is beyond
    truncated = prior.truncate(z, 4.0)
    assert truncated.unique().numel() == len(z)  # in float32 the last would be one: F(5.5) = F(6) = 1
    torch.testing.assert_close(truncated, -truncated.flip(0))
    assert prior.truncate(torch.tensor([[60.0, -60.0]]), 4.0).tolist() == [[4, -4]]


def test_no_threshold_changes_nothing():
    prior = GaussianPrior(8)
    z = drawn(prior, 500)
    assert torch.equal(prior.truncate(z, math.inf), z)
    uniform = UniformPrior(8, bound=1.5)
    u = drawn(uniform, 500)
    for threshold in (1.5, 2.0, math.inf):
        assert torch.equal(uniform.truncate(u, threshold), u)


def test_a_truncated_uniform_prior_is_a_smaller_cube():
    prior = UniformPrior(8, bound=1.5)
    u = drawn(prior, 500)
    torch.testing.assert_close(prior.truncate(u, 0.5), u / 3, rtol=0, atol=1e-7)


@pytest.mark.parametrize("noise", ["gaussian", "uniform"])
def test_codes_keep_their_values(noise):
    prior = CodedPrior(12, 2, 3, 2, noise)
    z = drawn(prior, 200)
    truncated = prior.truncate(z, 0.5)
    assert torch.equal(truncated[:, 4:], z[:, 4:])
    assert torch.equal(truncated[:, :4], prior.noise.truncate(z[:, :4], 0.5))
    assert truncated[:, :4].abs().max().item() <= 0.5


def sampler(prior=None, **classes):
    torch.manual_seed(0)
    generator = MLPGenerator(3, SampleSpec(4, 1, **classes), width=8)
    return Sampler(generator, prior or GaussianPrior(3), generator.num_classes, generator.value_range)


def test_all_samples_of_a_truncated_sampler_are_of_truncated_latents():
    plain = sampler(num_classes=3)
    cut = plain.truncated(0.5)
    assert (plain.truncation, cut.truncation) == (None, 0.5)
    latents = plain.prior.truncate(plain.latents(300, 4), 0.5)
    whole = cut.sample(300, seed=4)
    assert torch.equal(whole, plain.generate(latents, plain.labels(300)))
    torch.testing.assert_close(cut.sample(7, seed=4, start=290), whole[290:297])  # sample i is of (seed, i)
    assert torch.equal(cut.source(4)(0, 300), cut.sample_uint8(300, 4))
    paths = cut.source(4).paths(0, 300, 0.25)
    torch.testing.assert_close(paths[:, 0], 127.5 * (whole + 1), rtol=0, atol=1e-3)
    ends = plain.prior.interpolate(*(plain.latents(300, 4, 0, purpose) for purpose in ("sample", "path ends")), 0.25)
    stepped = plain.generate(plain.prior.truncate(ends, 0.5), plain.labels(300))
    torch.testing.assert_close(paths[:, 1], 127.5 * (stepped + 1), rtol=0, atol=1e-3)
    for nothing in (None, math.inf):
        assert cut.truncated(nothing).truncation is None
        assert torch.equal(cut.truncated(nothing).sample(300, seed=4), plain.sample(300, seed=4))


class Cauchy(Prior):
    def sample(self, n, generator):
        return torch.empty(n, self.latent_dim).cauchy_(generator=generator)


@pytest.mark.parametrize("threshold", [0.0, -1.0, math.nan])
def test_thresholds_are_positive(threshold):
    with pytest.raises(UserError, match=f"truncation is {threshold}"):
        sampler().truncated(threshold)


def test_a_prior_without_a_quantile_is_not_truncated():
    with pytest.raises(UserError, match=r"truncation=0\.5: Cauchy has no cdf and quantile"):
        sampler(Cauchy(3)).truncated(0.5)


def test_the_protocol_has_it_only_if_it_is_set():
    fields = dict.fromkeys(Protocol.__dataclass_fields__) | {"sampling_seeds": (0,)}
    assert "truncation" not in Protocol(**fields).as_dict()
    assert Protocol(**fields | {"truncation": 0.5}).as_dict()["truncation"] == 0.5
