"""w and the noise inside layers: psi towards the mean of w, and noise as a function of the seed and the sample."""

import copy
import math

import pytest
import torch
from styled import SmallStyles

from gan_research.metrics.protocol import Protocol
from gan_research.networks import MLPGenerator
from gan_research.sampling.interpolation import Interpolation
from gan_research.sampling.layer_noise import NoiseOf
from gan_research.sampling.priors import GaussianPrior
from gan_research.sampling.sampler import BLOCK, LATENTS_OF_MEAN, Sampler
from gan_research.utils.errors import UserError
from gan_research.utils.sample_spec import SampleSpec

KINDS = ("random", "constant", "none")


def styles(num_classes=0, **spec):
    torch.manual_seed(0)
    generator = SmallStyles(3, SampleSpec(4, 1, num_classes, **spec))
    return Sampler(generator, GaussianPrior(3), num_classes, generator.value_range)


@pytest.mark.parametrize("num_classes", [0, 3])
def test_the_mean_of_w_is_over_ten_thousand_latents(num_classes):
    sampler = styles(num_classes)
    generator, latents = sampler.generator, sampler.latents(10_000, 0, purpose="mean of w")
    in_turn = torch.arange(10_000) % 3 if num_classes else None
    torch.testing.assert_close(sampler.mean_w(), generator.map(latents, in_turn).detach().mean((0, 1)))
    assert sampler.mean_w().shape == (6,)
    if num_classes:
        each = [generator.map(latents, torch.full((10_000,), k)).detach().mean((0, 1)) for k in range(3)]
        torch.testing.assert_close(sampler.mean_w(by_class=True), torch.stack(each))
    generator.affine.bias.data.add_(1.0)  # it belongs to the weights
    assert (sampler.mean_w() - generator.map(latents, in_turn).detach().mean((0, 1))).abs().max().item() < 1e-5


@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_psi_1_changes_no_bit(num_classes, noise):
    sampler = styles(num_classes)
    plain = sampler.styled(noise=noise).sample(9, seed=2)
    for other in (sampler.styled(1.0, 2, noise), sampler.styled(1.0, noise=noise, by_class=num_classes > 0)):
        assert torch.equal(other.sample(9, seed=2), plain)
        assert other.protocol == sampler.styled(noise=noise).protocol


@pytest.mark.parametrize("noise", ["constant", "none"])
def test_with_psi_0_all_samples_are_equal(noise):
    images = styles(3).styled(0.0, noise=noise).sample(9, seed=2)
    assert (images - images[:1]).abs().max().item() < 1e-6
    of_classes = styles(3).styled(0.0, noise=noise, by_class=True).sample(9, seed=2).unflatten(0, (3, 3))
    assert (of_classes - of_classes[:1]).abs().max().item() < 1e-6
    assert (of_classes[0, 0] - of_classes[0, 1]).abs().max().item() > 0.01
    drawn = styles(3).styled(0.0).sample(9, seed=2)
    assert (drawn - drawn[:1]).flatten(1).abs().amax(1)[1:].min().item() > 0.1


@pytest.mark.parametrize("psi", [-1.0, 0.0, 0.7, 1.5])
@pytest.mark.parametrize("cutoff", [None, 1, 3, 4])
@pytest.mark.parametrize("by_class", [False, True])
def test_w_moves_towards_its_mean_in_the_first_layers(psi, cutoff, by_class):
    sampler = styles(3).truncated(2.0)
    labels = torch.tensor([0, 2, 1, 1])
    latents = sampler.latents(4, 7)
    ws = sampler.generator.map(sampler.prior.truncate(latents, 2.0), labels).detach()
    mean = sampler.mean_w(by_class)[labels][:, None] if by_class else sampler.mean_w()
    expected = mean + psi * (ws - mean)
    if cutoff is not None:
        expected[:, cutoff:] = ws[:, cutoff:]
    styled = sampler.styled(psi, cutoff, "none", by_class)
    torch.testing.assert_close(styled.map(latents, labels), expected)
    images = sampler.generator.synthesise(expected).detach()
    torch.testing.assert_close(styled.sample(4, 7, labels), images)
    mixture = torch.tensor([[0.25, 0.75, 0.0]])
    if by_class:
        middle = sampler.mean_w(by_class=True)[:2].T @ torch.tensor([0.25, 0.75])
        torch.testing.assert_close(sampler.styled(0.0, by_class=True).map(latents[:1], mixture)[0, 0], middle)


def test_the_mean_belongs_to_the_generator_that_is_sampled():
    sampler = styles().styled(0.0, noise="none")
    first = sampler.sample(1)
    other = copy.deepcopy(sampler.generator)
    other.affine.bias.data.add_(1.0)
    assert (Sampler(other, sampler.prior, 0, (-1.0, 1.0)).styled(0.0, noise="none").sample(1) - first).abs().max() > 0.1
    assert torch.equal(sampler.truncated(0.5).sample(1), first)


@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize("psi", [1.0, 0.5])
@pytest.mark.parametrize(
    ("start", "n", "batch_size"), [(0, 1, 500), (5, 40, 7), (BLOCK - 1, 3, 500), (BLOCK + 1, 9, 4)]
)
def test_a_sample_is_a_function_of_the_seed_and_its_number(noise, psi, start, n, batch_size):
    sampler = styles(3).styled(psi, 2, noise)
    everything = sampler.sample(BLOCK + 20, seed=4)
    part = sampler.sample(n, seed=4, start=start, batch_size=batch_size)
    assert (part - everything[start : start + n]).abs().max().item() < 1e-5
    torch.testing.assert_close(sampler.source(4)(start, start + n), sampler.sample_uint8(BLOCK + 20, 4)[start:][:n])


def noise_in(sampler, n=5, **arguments):
    """The layers' noise of samples, as their difference from those without."""
    drawn = sampler.sample(n, **arguments) - sampler.styled(sampler.psi, noise="none").sample(n, **arguments)
    return (drawn / sampler.generator.strength.detach()).flatten(1)


def test_noise_is_normal_and_of_each_sample():
    sampler = styles()
    drawn = noise_in(sampler, 2000, seed=1)
    assert drawn.mean().item() == pytest.approx(0, abs=0.02)
    assert drawn.std().item() == pytest.approx(1, abs=0.02)
    assert (drawn.T @ drawn / 2000 - torch.eye(16)).abs().max().item() < 0.12
    assert (noise_in(sampler, 5, seed=2) - drawn[:5]).abs().amax(1).min().item() > 0.3
    constant = noise_in(sampler.styled(noise="constant"), 5, seed=1)
    torch.testing.assert_close(constant, drawn[:1].expand(5, -1), rtol=0, atol=1e-5)
    latents = sampler.latents(2000, 1)
    assert (latents.T @ drawn / 2000).abs().max().item() < 0.12  # it is independent of the latents


def test_noise_is_drawn_for_a_batch_at_a_time(monkeypatch):
    sizes, rows = [], NoiseOf.rows
    monkeypatch.setattr(NoiseOf, "rows", lambda self, rows_, *rest: sizes.append(rows_) or rows(self, rows_, *rest))
    styles().sample(10, batch_size=4)
    assert sizes == [slice(0, 4), slice(4, 8), slice(8, 12)]


def test_the_random_state_and_the_generator_stay_as_they_are():
    sampler = styles().styled(0.5)
    sampler.generator.train()
    before, state = {k: v.clone() for k, v in sampler.generator.state_dict().items()}, torch.get_rng_state()
    sampler.sample(5)
    assert torch.equal(torch.get_rng_state(), state)
    assert sampler.generator.training
    assert all(torch.equal(v, before[k]) for k, v in sampler.generator.state_dict().items())
    assert not sampler.map(sampler.latents(2, 0), None).requires_grad


@pytest.mark.parametrize("noise", KINDS)
@pytest.mark.parametrize("psi", [1.0, 0.6])
@pytest.mark.parametrize("varied", ["latents", "w", "classes", "both"])
def test_interpolations_pass_plain_samples_bit_for_bit(varied, psi, noise):
    sampler = styles(3).styled(psi, 3, noise)
    path, n = Interpolation(sampler, varied, 5, 3, seed=4), 5
    numbers = 0 if varied == "classes" else n
    classes = torch.arange(n)[:, None] + torch.arange(3) if varied in ("classes", "both") else None
    for k in range(4):
        labels = torch.arange(n) % 3 if classes is None else classes[:, k % 3] % 3
        assert torch.equal(path(k), sampler.sample(n, 4, labels, start=k % 3 * numbers))
    for k in range(3):
        near, far = (path(k + t).sub(path(k)).abs().max().item() for t in (1e-4, 0.5))
        assert 0 < near < 0.01 < far


def test_between_them_w_and_the_classes_of_the_mapping_are_mixed():
    sampler = styles(3).styled(0.6, noise="none")
    a, b = (sampler.map(sampler.latents(2, 1, start), torch.arange(2)) for start in (0, 2))
    expected = sampler.generator.synthesise(a + 0.25 * (b - a)).detach()
    torch.testing.assert_close(Interpolation(sampler, "w", 2, 2, seed=1)(0.25), expected)
    mixtures = torch.tensor([[0.75, 0.25, 0.0], [0.0, 0.75, 0.25]])
    expected = sampler.generate(sampler.latents(2, 1), mixtures)
    torch.testing.assert_close(Interpolation(sampler, "classes", 2, 2, seed=1)(0.25), expected)


def test_noise_stays_normal_on_the_way():
    sampler = styles()
    size = 40_000
    between = NoiseOf(1, [3, 4], towards=NoiseOf(1, [8, 4]), t=0.5).rows(slice(0, 2), size, "random")
    a, b = (NoiseOf(1, [number]).rows(slice(0, 1), size, "random")[0] for number in (3, 8))
    assert between[0].std().item() == pytest.approx(1, abs=0.02)
    assert (between[0] @ a / size).item() == pytest.approx((between[0] @ b / size).item(), abs=0.03)
    torch.testing.assert_close(between[1], NoiseOf(1, [4]).rows(slice(0, 1), size, "random")[0])
    assert NoiseOf(1, [0]).rows(slice(0, 1), 0, "random") is None
    assert sampler.generator.noise_dim == 16


REFUSED = [
    (lambda: mlp().styled(0.7), "psi=0.7: MLPGenerator has no mapping"),
    (lambda: mlp().styled(0.0), "psi=0: MLPGenerator has no mapping"),
    (lambda: mlp().styled(0.7, cutoff=2), "psi=0.7: MLPGenerator has no mapping"),
    (lambda: mlp().styled(noise="none"), "noise=none: MLPGenerator adds no noise"),
    (lambda: mlp().styled(noise="constant"), "noise=constant: MLPGenerator adds no noise"),
    (lambda: mlp().mean_w(), "the mean of w: MLPGenerator has no mapping"),
    (lambda: Interpolation(mlp(), "w", 2, 2), "an interpolation of w: MLPGenerator has no mapping"),
    (lambda: mlp().source(0).paths(0, 2, 0.1, "w"), "space=w: MLPGenerator has no mapping"),
    (lambda: styles().styled(0.7, cutoff=5), "cutoff=5: this generator has 4 layers: set 1 to 4"),
    (lambda: styles().styled(0.7, cutoff=0), "cutoff=0: this generator has 4 layers"),
    (lambda: styles().styled(math.nan), "psi=nan"),
    (lambda: styles().styled(noise="some"), "noise=some: set random, constant, none"),
    (lambda: styles().styled(0.7, by_class=True), "no classes"),
    (lambda: styles().mean_w(by_class=True), "no classes"),
]


def mlp():
    generator = MLPGenerator(3, SampleSpec(4, 1), width=8)
    return Sampler(generator, GaussianPrior(3), 0, generator.value_range)


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_styles_that_are_not_there_are_refused(build, message):
    with pytest.raises(UserError, match=message):
        build()


def test_a_generator_without_a_mapping_is_left_alone():
    sampler = mlp()
    assert torch.equal(sampler.map(sampler.latents(3, 0), None), sampler.latents(3, 0))
    assert torch.equal(sampler.styled().sample(5), sampler.sample(5))
    assert torch.equal(sampler.synthesise(sampler.latents(5, 0), None), sampler.sample(5))


def test_the_protocol_has_what_differs_from_the_defaults():
    fields = dict.fromkeys(Protocol.__dataclass_fields__) | {"sampling_seeds": (0,), "psi_by_class": False}
    fields |= {"real_files": "", "fake_files": ""}
    plain = Protocol(**fields).as_dict()
    assert not {"psi", "cutoff", "psi_by_class", "noise", "truncation"} & set(plain)
    for sampler, expected in {
        styles(): {},
        styles().styled(0.0): {"psi": 0.0},
        styles(3).styled(0.7, 2, "none", True): {"psi": 0.7, "cutoff": 2, "noise": "none", "psi_by_class": True},
    }.items():
        drawn = Protocol(**fields | sampler.protocol).as_dict()
        assert drawn == plain | {"sampling": "prior"} | expected
    assert LATENTS_OF_MEAN == 10_000
