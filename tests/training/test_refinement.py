"""LOGAN: its step in closed form, what it asks of the networks, and gradients through it; style mixing."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from styled import SmallStyles

from gan_research.losses import NonSaturating
from gan_research.networks import MLPDiscriminator, MLPGenerator
from gan_research.networks.heads import InfoGANHead
from gan_research.regularizers import MutualInformation, Regularizer
from gan_research.sampling.priors import CodedPrior, GaussianPrior, UniformPrior
from gan_research.testing.checks import losses_of
from gan_research.training.refinement import LOGAN, StyleMixing
from gan_research.utils.errors import UserError
from gan_research.utils.ramps import Ramp
from gan_research.utils.rng import Noise
from gan_research.utils.sample_spec import SampleSpec

N, DIM = 8, 5
CODES = partial(InfoGANHead, categories=3, continuous=1, hidden=4)


def refined(logan, latents, score, prior=None):
    noise = Noise(seed=0, position=0, total=len(latents), start=0, stop=len(latents), dtype=latents.dtype)
    return logan(latents, score, prior or GaussianPrior(DIM), noise, lambda name, value: None)


@pytest.fixture
def latents():
    return torch.randn(N, DIM, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


SLOPE = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0], dtype=torch.float64)


def test_a_step_is_that_of_the_damped_natural_gradient(latents):
    """alpha (g g^T + beta I)^-1 g, by a linear solver; it goes up D."""
    step = refined(LOGAN(alpha=0.7, beta=0.3, rate=1.0, steps=1), latents, lambda z: z @ SLOPE) - latents
    matrix = torch.outer(SLOPE, SLOPE) + 0.3 * torch.eye(DIM, dtype=torch.float64)
    torch.testing.assert_close(step, 0.7 * torch.linalg.solve(matrix, SLOPE).expand(N, -1), rtol=1e-12, atol=1e-12)
    assert (step @ SLOPE).min() > 0


def test_each_step_begins_where_the_last_one_ended(latents):
    """On D(G(z)) = -||z||^2 / 2 with beta large, each of n steps multiplies z by 1 - alpha / beta."""
    logan = LOGAN(alpha=1e6, beta=1e7, rate=1.0, steps=3)
    moved = refined(logan, latents, lambda z: -z.square().sum(1) / 2)
    torch.testing.assert_close(moved, latents * 0.9**3, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("mask", ["dimensions", "samples"])
def test_the_mask_is_of_numbers_or_of_samples(mask):
    latents = torch.zeros(4000, DIM)
    slope = torch.tensor([1.0, -2.0, 0.5, 1.5, 3.0])
    moved = refined(LOGAN(rate=0.3, steps=1, mask=mask), latents, lambda z: z @ slope) != 0
    assert moved.float().mean().item() == pytest.approx(0.3, abs=0.03)
    whole = (moved.all(1) | ~moved.any(1)).float().mean().item()
    assert whole == (1 if mask == "samples" else pytest.approx(0.7**5 + 0.3**5, abs=0.03))


def test_latents_are_clipped_to_bounds_of_the_prior_and_to_no_others(latents):
    """StudioGAN clips to +-1 whatever the prior."""
    logan, score = LOGAN(alpha=9.0, beta=0.1, rate=1.0), lambda z: z @ SLOPE
    free = refined(logan, latents, score)
    assert free.abs().max() > 3
    assert refined(logan, latents.clamp(-0.5, 0.5), score, UniformPrior(DIM, 0.5)).abs().max() == 0.5
    still = LOGAN(alpha=1e-12)
    assert torch.allclose(refined(still, latents, score), latents)
    assert latents.abs().max() > 1


@pytest.mark.parametrize("steps", [1, 3])
def test_n_steps_call_the_generator_n_times(steps, play, monkeypatch):
    """And once for the fakes, in each player's update (StudioGAN takes one step whatever is set)."""
    calls, generate = [], MLPGenerator.generate
    monkeypatch.setattr(MLPGenerator, "generate", lambda *inputs: calls.append(1) or generate(*inputs))
    play(rounds=1, refinement=LOGAN(steps=steps))
    assert len(calls) == 2 * (steps + 1)


def smooth(game, **arguments):
    networks = {
        "generator": partial(MLPGenerator, width=8, depth=1, activation="silu"),
        "discriminator": partial(MLPDiscriminator, width=8, depth=1, activation="silu"),
    }
    gan = game(precision="64", **{**networks, **arguments})
    with torch.no_grad():  # far from linear
        for parameter in gan.discriminator.parameters():
            parameter.mul_(3)
    return gan


def gradient_and_differences(gan, player, step=1e-6):
    """The gradients of a player's loss in its parameters, and those by central differences, of some numbers each."""
    ((_, loss),) = losses_of(gan, (player,))
    parameters = list(gan.objective.networks[player].parameters())
    slopes = torch.autograd.grad(loss, parameters, materialize_grads=True)
    pairs = []
    for parameter, slope in zip(parameters, slopes, strict=True):
        for index in range(0, parameter.numel(), max(1, parameter.numel() // 3)):
            values = []
            for sign in (1, -1):
                parameter.data.view(-1)[index] += sign * step
                values.append(next(losses_of(gan, (player,)))[1].item())
                parameter.data.view(-1)[index] -= sign * step
            pairs.append((slope.flatten()[index].item(), (values[0] - values[1]) / (2 * step)))
    return tuple(zip(*pairs, strict=True))


@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_the_gradient_of_each_player_goes_through_the_steps(player, game):
    """Of the whole loss, with the cost of moving, by differences; without the steps' own part it is another one."""
    gradients, differences = gradient_and_differences(smooth(game, refinement=LOGAN(steps=2, weight=0.5)), player)
    assert gradients == pytest.approx(differences, rel=1e-5, abs=1e-8)
    constant = LOGAN(steps=2, weight=0.0, differentiable=False)
    gradients, differences = gradient_and_differences(smooth(game, refinement=constant), player)
    assert gradients != pytest.approx(differences, rel=1e-2, abs=1e-4)


def test_its_weight_may_be_a_ramp_and_is_logged(play):
    ramp = Ramp(base=0.2, final=0.0, images=8, shape="linear")
    gan = play(rounds=3, refinement=LOGAN(weight=ramp), log_every=100)
    values = gan.loss_log.flush()
    assert values["weight/refinement"].tolist() == pytest.approx([0.2, 0.2, 0.1, 0.1, 0, 0])
    assert values["loss/refinement"].min() > 0
    assert values["latents/moved"].mean().item() == pytest.approx(values["loss/refinement"].mean().item(), rel=1e-5)


def test_it_trains_in_half_precision_and_with_packs(play):
    gan = play(rounds=2, refinement=LOGAN(), precision="bf16", loss=NonSaturating())
    assert all(p.isfinite().all() for p in gan.parameters())
    packed = partial(MLPDiscriminator, width=8, depth=1, packing=2)
    assert play(rounds=2, refinement=LOGAN(), discriminator=packed).round == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha=0.0: set a positive one"),
        ({"beta": -1.0}, "beta=-1.0: set a positive one"),
        ({"rate": 1.5}, "rate=1.5: set a positive one, at most 1"),
        ({"steps": 0}, "steps=0: set a positive one"),
        ({"weight": -0.1}, "weight=-0.1: set it to at least 0"),
        ({"mask": "rows"}, "mask=rows: set it to dimensions or samples"),
        ({"differentiable": False}, "weight has no gradient with differentiable=false: set weight=0"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(UserError, match=f"logan: {message}"):
        LOGAN(**arguments)


# Style mixing


def mixed(probability, layers, samples=6, position=0, seed=0):
    """Latents of all layers (N, L, DIM), and those before."""
    mixing, latents = StyleMixing(probability), torch.randn(samples, DIM)
    generator = SmallStyles(DIM, SampleSpec(4, 1), num_ws=layers)
    mixing.check(SimpleNamespace(networks={"generator": generator}, prior=GaussianPrior(DIM)))
    noise = Noise(seed, position, samples, 0, samples)
    return mixing(latents, None, GaussianPrior(DIM), noise, None), latents


def test_layers_from_the_cut_on_have_another_latent():
    """One cut for the minibatch, uniform on 1 to L - 1, in 9 of 10 of them: chi-squared below 27.9 in 99.9 %."""
    counts = torch.zeros(10)
    for position in range(3000):
        styles, latents = mixed(0.9, 10, position=position)
        own = (styles == latents[:, None]).all(2)
        assert (own == own[0]).all()
        cut = int(own[0].sum())
        assert own[0, :cut].all()
        if cut < 10:
            assert (styles[:, cut:] == styles[:, -1:]).all()
            assert len(styles[:, -1].unique(dim=0)) == len(latents)
        counts[cut - 1] += 1  # cut = L: none
    expected = 3000 * torch.tensor([0.1] * 9 + [0.1])
    assert ((counts - expected).square() / expected).sum() < 27.9


@pytest.mark.parametrize("layers", [2, 8])
def test_it_mixes_always_or_never(layers):
    for position in range(20):
        styles, latents = mixed(0.0, layers, position=position)
        assert torch.equal(styles, latents[:, None].expand(-1, layers, -1))
        styles, latents = mixed(1.0, layers, position=position)
        assert torch.equal(styles[:, 0], latents)
        assert not torch.equal(styles[:, -1], latents)


def test_the_gradient_of_a_latent_is_that_of_its_layers():
    torch.manual_seed(0)
    generator = SmallStyles(DIM, SampleSpec(4, 1), num_ws=5)
    styles, _ = mixed(1.0, 5)
    styles = styles.requires_grad_()
    ws = generator.map(styles)
    ws.retain_grad()
    generator.synthesise(ws).square().sum().backward()
    assert (styles.grad.flatten(2).abs().sum(2) > 0).all()
    layer = torch.autograd.grad(generator.map(styles)[:, 3].sum(), styles)[0].abs().sum((0, 2)) > 0
    assert layer.tolist() == [False, False, False, True, False]


def test_both_players_mix_and_classes_are_kept(play):
    seen = []

    class Watched(SmallStyles):
        def map(self, latents, labels=None):
            seen.append((tuple(latents.shape), labels.clone()))
            return super().map(latents, labels)

    records = Reals()
    play(rounds=3, num_classes=3, generator=Watched, refinement=StyleMixing(1.0), regularizers={"reals": records})
    assert [shape for shape, _ in seen] == [(4, 4, 3)] * 6
    assert all(torch.equal(labels, reals) for (_, labels), reals in zip(seen, records.labels, strict=True))


class Reals(Regularizer):
    """Notes the classes of the reals."""

    players = ("discriminator", "generator")

    def __init__(self):
        super().__init__(weight=0.0)
        self.labels = []

    def penalty(self, step):
        self.labels.append(step.real.condition.clone())
        return step.fake.out.logits


def test_mixing_that_is_refused(game):
    with pytest.raises(UserError, match=r"style_mixing: probability=1\.5: set it from 0 to 1"):
        StyleMixing(1.5)
    with pytest.raises(UserError, match="style_mixing needs a generator with a mapping and several layers, unlike MLP"):
        game(refinement=StyleMixing())
    with pytest.raises(UserError, match="style_mixing needs a generator with a mapping and several layers, unlike Sm"):
        game(refinement=StyleMixing(), generator=partial(SmallStyles, num_ws=1))
    coded = {"prior": CodedPrior(8, 1, 3, 1), "discriminator": partial(MLPDiscriminator, head=CODES)}
    information = {"information": MutualInformation()}
    with pytest.raises(UserError, match="style_mixing would give layers other codes"):
        game(refinement=StyleMixing(), generator=SmallStyles, regularizers=information, **coded)
