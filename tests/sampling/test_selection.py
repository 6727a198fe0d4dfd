"""Samplers that use the discriminator: exact distributions of tables and of Gaussians."""

import math

import pytest
import torch
from scipy.stats import chisquare
from styled import SmallStyles
from torch import nn

from gan_research.losses import Hinge, Minimax, NonSaturating, Wasserstein
from gan_research.metrics.protocol import Protocol
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.networks.base import DOutput
from gan_research.sampling.interpolation import Interpolation
from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.priors import CodedPrior, GaussianPrior, UniformPrior
from gan_research.sampling.sampler import Sampler
from gan_research.sampling.selection import DDLS, Metropolis, Rejection
from gan_research.sampling.selection.langevin import reflected
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

METHODS = (DDLS(steps=5, step_size=0.1), Rejection(burn_in=50), Metropolis(steps=9))
P, Q = torch.tensor([[0.05, 0.3, 0.25, 0.4], [0.4, 0.1, 0.3, 0.2]], dtype=torch.float64)
methods = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


class Identity(nn.Module):
    """x = z; with a number, so that it has a device."""

    def __init__(self):
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, latents, labels=None):
        return self.one * latents


class Table(nn.Module):
    """Logits that are a function of a sample: (N, dim) -> (N,)."""

    num_classes, batch_multiple, logits_are_log_odds = 0, 1, True

    def __init__(self, function):
        super().__init__()
        self.function, self.passes = function, []

    def forward(self, samples, labels=None):
        self.passes.append(len(samples))
        return DOutput(self.function(samples), samples)


def sampler(prior, function, method):
    plain = Sampler(Identity(), prior, 0, (-math.inf, math.inf))
    return plain.selecting(method, Table(function))


def cell(samples):
    """The cell of a table in which the uniform numbers of a sample, on [0, 1], lie."""
    return torch.bucketize((samples[:, 0] + 1) / 2, Q.cumsum(0)[:-1])


def ratio(samples):
    return (P / Q).log()[cell(samples)]


def counts(samples):
    return cell(samples).bincount(minlength=len(P)).double()


def require_masses(found, masses):
    """The counts are those of the masses, by a chi-squared test; and not too close to them either."""
    p = chisquare(found, masses / masses.sum() * found.sum()).pvalue
    assert 1e-3 < p < 1 - 1e-3


def test_accepted_samples_have_the_masses_of_the_data():
    chosen = sampler(UniformPrior(1), ratio, Rejection(burn_in=1000))
    found = counts(chosen.sample(6000))
    require_masses(found, P)
    assert chosen.acceptance() == pytest.approx(1 / (P / Q).max().item(), abs=0.01)  # 1/M
    assert chisquare(found, Q * 6000).pvalue < 1e-9


@pytest.mark.parametrize("percentile", [20, 85])
def test_a_percentile_gives_the_masses_of_the_formula(percentile):
    """The burn-in's F takes a value for each cell, so gamma is that of a cell."""
    a = (P / Q).log() - (P / Q).log().max()
    odds = a - (-a.clamp(max=-1e-14).expm1()).log()
    order = odds.argsort()
    gamma = odds[order[torch.searchsorted(Q[order].cumsum(0), percentile / 100)]]
    accept = (odds - gamma).sigmoid()
    chosen = sampler(UniformPrior(1), ratio, Rejection(percentile, burn_in=4000))
    require_masses(counts(chosen.sample(6000)), Q * accept)
    assert chosen.acceptance() == pytest.approx((Q * accept).sum().item(), abs=0.02)


def test_a_chain_of_candidates_ends_with_the_masses_of_the_data():
    require_masses(counts(sampler(UniformPrior(1), ratio, Metropolis(60)).sample(6000)), P)
    short = counts(sampler(UniformPrior(1), ratio, Metropolis(1)).sample(6000))
    move = (P / Q)[None] / (P / Q)[:, None]
    moved = Q[:, None] * Q[None] * move.clamp(max=1)
    require_masses(short, Q + moved.sum(0) - moved.sum(1))  # one step by hand


def test_at_the_cap_candidates_are_drawn_in_proportion():
    """With 2 tries: none, or the first or second one accepted; otherwise in proportion to both probabilities."""
    accept = P / Q / (P / Q).max()
    first = Q * accept
    pair = torch.outer(Q * (1 - accept), Q)  # the first is refused
    second = pair * accept
    left = pair * (1 - accept)
    share = accept[:, None] / (accept[:, None] + accept[None])
    masses = first + second.sum(0) + (left * share).sum(1) + (left * (1 - share)).sum(0)
    chosen = sampler(UniformPrior(1), ratio, Rejection(burn_in=1000, max_tries=2))
    require_masses(counts(chosen.sample(6000)), masses)
    assert chosen.acceptance() == pytest.approx(accept.matmul(Q).item(), abs=0.01)


def test_candidates_fill_batches():
    chosen = sampler(UniformPrior(1), lambda x: 20 * x[:, 0], Rejection(burn_in=1000))  # one in 40 is accepted
    chosen.sample(100, batch_size=200)
    passes = chosen.discriminator.passes[5:]
    assert chosen.acceptance() == pytest.approx(1 / 40, rel=0.2)
    assert len(passes) < 100  # of hundreds of tries
    assert max(passes) <= 200


MEAN, DIMENSIONS = 1.5, 64


def shifted(samples):
    """log N(x; 1.5, 1) - log N(x; 0, 1)."""
    return (MEAN * samples - MEAN**2 / 2).sum(1)


@pytest.mark.parametrize(
    "method",
    [
        DDLS(steps=40, step_size=0.5),
        DDLS(steps=40, step_size=0.5, noise=0.5),
        DDLS(steps=8, step_size=0.5, decay=0.4, decay_every=3),
        DDLS(steps=3, step_size=0.5, noise=0.0),
    ],
    ids=["stationary", "colder", "decay", "descent"],
)
def test_langevin_steps_have_the_moments_of_the_recursion(method):
    """The noise's standard deviation is `noise`, and decay is that of the step size: both unlike in StudioGAN."""
    mean, variance = 0.0, 1.0
    for step in range(method.steps):
        size = method.step_size * method.decay ** (step // method.decay_every)
        mean += size / 2 * (MEAN - mean)
        variance = (1 - size / 2) ** 2 * variance + size * method.noise**2
    if method.steps == 40:
        assert variance == pytest.approx(method.noise**2 / (1 - 0.5 / 4), rel=1e-6)  # the bias of unadjusted steps
    samples = sampler(GaussianPrior(DIMENSIONS), shifted, method).sample(512).double()
    assert samples.mean().item() == pytest.approx(mean, abs=0.03)  # 5 standard errors
    assert samples.var().item() == pytest.approx(variance, rel=0.04)


def test_latents_of_a_bounded_prior_are_reflected():
    flat = sampler(UniformPrior(8, bound=2.0), lambda x: 0 * x.sum(1), DDLS(steps=20, step_size=1.0)).sample(1024)
    assert flat.abs().max().item() <= 2
    found = torch.histc(flat, 10, -2, 2)  # a clamp would heap them at the bounds
    assert 1e-3 < chisquare(found).pvalue < 1 - 1e-3
    slope = 1.5
    tilted = sampler(UniformPrior(16), lambda x: slope * x.sum(1), DDLS(steps=300)).sample(512)
    assert tilted.mean().item() == pytest.approx(1 / math.tanh(slope) - 1 / slope, abs=0.03)


def test_values_are_reflected_as_often_as_it_takes():
    values = torch.tensor([-1.0, 1.0, 0.25, 1.5, -1.5, 3.25, -3.25, 9.5])
    torch.testing.assert_close(reflected(values, 1.0), torch.tensor([-1.0, 1.0, 0.25, 0.5, -0.5, -0.75, 0.75, 0.5]))
    assert torch.equal(reflected(values, math.inf), values)


@methods
@pytest.mark.parametrize("num_classes", [0, 3])
def test_a_sample_depends_on_its_number_and_the_seed_alone(method, num_classes):
    torch.manual_seed(0)
    samples = SampleSpec(4, 1, num_classes)
    generator, discriminator = MLPGenerator(3, samples, width=8), MLPDiscriminator(samples, width=8)
    discriminator.logits_are_log_odds = True
    plain = Sampler(generator, GaussianPrior(3), num_classes, (-1, 1))
    chosen = plain.selecting(method, discriminator.train())
    noise = torch.get_rng_state()
    everything = chosen.sample(300, seed=4)
    assert torch.equal(torch.get_rng_state(), noise)
    assert discriminator.training
    assert all(p.grad is None for p in [*generator.parameters(), *discriminator.parameters()])
    assert not everything.requires_grad
    for n, start, batch_size in ((1, 0, 500), (70, 200, 64), (9, 253, 2)):
        part = chosen.sample(n, seed=4, start=start, batch_size=batch_size)
        torch.testing.assert_close(part, everything[start : start + n], rtol=0, atol=1e-4)
    one_class = [] if not num_classes else [2]
    for label in one_class:
        other = chosen.sample(6, seed=4, labels=label)
        torch.testing.assert_close(other[2::3], everything[2:6:3], rtol=0, atol=1e-4)
        assert (other[0] - everything[0]).abs().max().item() > 1e-4
    changed = (everything - plain.sample(300, seed=4)).abs().flatten(1).amax(1) > 1e-6
    assert changed.sum().item() > 0
    assert (chosen.sample(9, seed=5) - everything[:9]).abs().max().item() > 1e-3
    assert chosen.protocol["sampling"] == method.description != "prior" == plain.protocol["sampling"]


def test_the_protocol_tells_the_method_with_its_settings():
    assert Rejection(90.0).description == "rejection(percentile=90.0, burn_in=10000, max_tries=1000)"
    fields = dict.fromkeys(Protocol.__dataclass_fields__) | {"sampling_seeds": (0,), "sampling": METHODS[0].description}
    assert Protocol(**fields).as_dict()["sampling"].startswith("ddls(steps=5, step_size=0.1, noise=1.0")


@methods
def test_a_truncated_sampler_selects_among_its_samples(method):
    torch.manual_seed(0)
    chosen = sampler(GaussianPrior(4), lambda x: 3 * x.sum(1), method)
    cut = chosen.truncated(0.5)
    chosen.sample(9)
    assert "burn-in" not in cut.measured  # its largest logit is another one
    points = cut.sample(300)
    assert points.abs().max().item() <= 0.5
    assert points.mean().item() > 0.05 + chosen.truncated(0.5).selecting(None).sample(300).mean().item()
    if method.name == "rejection":
        assert cut.measured["burn-in"][0].item() <= 6 < chosen.measured["burn-in"][0].item()


@methods
def test_layers_keep_the_noise_of_the_sample(method):
    torch.manual_seed(0)
    plain = Sampler(SmallStyles(3, SampleSpec(4, 1)), GaussianPrior(3), 0, (-1, 1))
    chosen = plain.selecting(method, Table(lambda x: x.square().flatten(1).sum(1)))
    everything = chosen.sample(300, seed=4)
    part = chosen.sample(70, seed=4, start=200, batch_size=64)
    torch.testing.assert_close(part, everything[200:270], rtol=0, atol=1e-4)
    silent = chosen.styled(noise="none").generate(chosen.sample_latents(300, 4), None)
    noise = 0.5 * NoiseOf(4, range(300)).rows(slice(None), 16, "random").view(300, 1, 4, 4)
    torch.testing.assert_close(everything - silent, noise, rtol=0, atol=1e-5)
    other = chosen.styled(noise="none").sample(300, seed=4)  # selected by other logits
    assert (other - silent).abs().max().item() > 1e-3
    equal = chosen.styled(psi=0.0, noise="none").sample(9, seed=4)
    torch.testing.assert_close(equal, equal[:1].expand(9, -1, -1, -1), rtol=0, atol=1e-5)


class Packed(Table):
    batch_multiple = 2


@pytest.mark.parametrize("loss", [NonSaturating(), Minimax(), Hinge(), Wasserstein(), None])
@methods
def test_logits_have_to_be_log_odds(method, loss, game):
    """StudioGAN runs Langevin steps on the logits of a hinge loss, too."""
    if loss is None:
        discriminator = MLPDiscriminator(SampleSpec(4, 1), width=8)  # of an unknown loss
        plain = Sampler(Identity(), GaussianPrior(3), 0, (-1, 1))
    else:
        gan = game(loss=loss)
        discriminator, plain = None, gan.sampler()
    if isinstance(loss, Minimax):
        assert plain.selecting(method, discriminator).sample(2).shape == (2, 1, 4, 4)
    else:
        with pytest.raises(UserError, match=f"{method.name} needs logits that are log-odds"):
            plain.selecting(method, discriminator)


def test_what_cannot_be_selected_is_refused():
    plain = Sampler(Identity(), GaussianPrior(3), 0, (-math.inf, math.inf))
    with pytest.raises(UserError, match="needs the discriminator"):
        plain.selecting(DDLS())
    with pytest.raises(UserError, match="groups of 2 samples"):
        plain.selecting(DDLS(), Packed(shifted))
    coded = Sampler(Identity(), CodedPrior(14), 0, (-math.inf, math.inf))
    with pytest.raises(UserError, match="CodedPrior has no log_prob"):
        coded.selecting(DDLS(), Table(shifted))
    assert coded.selecting(Rejection(burn_in=50), Table(lambda x: x[:, 2])).sample(3).shape == (3, 14)
    with pytest.raises(UserError, match="diverged: lower"):
        plain.selecting(DDLS(steps=500, step_size=9.0), Table(shifted)).sample(3)
    with pytest.raises(UserError, match="2 logits for a sample"):
        plain.selecting(Rejection(), Table(lambda x: x[:, :2])).sample(3)
    with pytest.raises(UserError, match="aren't finite"):
        plain.selecting(Metropolis(), Table(lambda x: x[:, 0] / 0)).sample(3)
    images = Sampler(MLPGenerator(3, SampleSpec(4, 1), width=8), GaussianPrior(3), 0, (-1, 1))
    chosen = images.selecting(DDLS(), Table(lambda x: x.flatten(1).sum(1)))
    for use in (lambda: Interpolation(chosen, "latents", 2, 2), lambda: chosen.source(0).paths(0, 3, 1e-4)):
        with pytest.raises(UserError, match="latents of the prior, and ddls selects others"):
            use()


@pytest.mark.parametrize(
    "make",
    [
        lambda: DDLS(steps=0),
        lambda: DDLS(step_size=0.0),
        lambda: DDLS(noise=-0.1),
        lambda: DDLS(decay=0.0),
        lambda: Rejection(percentile=101),
        lambda: Rejection(burn_in=0),
        lambda: Rejection(max_tries=0),
        lambda: Metropolis(steps=0),
    ],
)
def test_settings_have_ranges(make):
    with pytest.raises(UserError, match=r"sampler\."):
        make()
