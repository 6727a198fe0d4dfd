"""Randomness that is a function of (seed, purpose, position)."""

import pytest
import torch

from gan_research.sampling.priors import GaussianPrior, UniformPrior
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise, generator_for, seed_layers, stream_seed


def first(seed, purpose="latents", position=0):
    return torch.randn(8, generator=generator_for(seed, purpose, position))


def draws(start=0, stop=12, seed=0, position=0):
    return Noise(seed, position, 12, start, stop)


DRAWN = {
    "uniform": lambda held: held.uniform("noise", 2, 3),
    "normal": lambda held: held.normal("noise", 2, 3),
    "gaussian latents": lambda held: held.sample("latents", GaussianPrior(5).sample),
    "uniform latents": lambda held: held.sample("latents", UniformPrior(5).sample),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
@pytest.mark.parametrize(("ranks", "accumulation"), [(1, 2), (2, 1), (2, 2), (3, 4)])
def test_rows_do_not_depend_on_ranks_and_micro_batches(draw, ranks, accumulation):
    size = 12 // (ranks * accumulation)
    parts = [draw(draws(i * size, (i + 1) * size)) for i in range(ranks * accumulation)]
    assert all(len(part) == size for part in parts)
    assert torch.equal(torch.cat(parts), draw(draws()))


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN.keys())
def test_rows_of_one_draw_and_draws_of_other_positions_differ(draw):
    rows = draw(draws()).flatten(1)
    assert len({tuple(row.tolist()) for row in rows}) == 12
    for other in (draws(seed=1), draws(position=1)):
        assert (draw(other).flatten(1) == rows).float().mean().item() == 0
    assert torch.equal(draw(draws()).flatten(1), rows)


def test_purposes_positions_and_seeds_each_make_another_stream():
    names = [(s, p, i) for s in (0, 1, 2) for p in ("latents", "dragan_noise", "discriminator") for i in range(50)]
    seeds = {stream_seed(*name) for name in names}
    assert len(seeds) == len(names)
    assert len({seed & 0xFFFFFFFF for seed in seeds}) == len(names)  # torch's CPU generator takes 32 bits
    assert all(0 <= seed < 2**63 for seed in seeds)
    values = {tuple(first(*name).tolist()) for name in names}
    assert len(values) == len(names)


def test_streams_are_the_same_in_every_process_and_version():
    assert stream_seed(0, "latents", 0) == 3921446798118366067
    assert stream_seed(17, "shuffle", 5) == 2388172628008999755


@pytest.mark.parametrize("seed", [0, 1, 12345678901234567890])
def test_a_seed_makes_one_stream_and_zero_is_a_seed(seed):
    assert torch.equal(first(seed), first(seed))
    assert not torch.equal(first(seed), first(seed + 1))
    assert generator_for(seed, "latents").initial_seed() == stream_seed(seed, "latents") != 0


def test_streams_of_one_position_are_uncorrelated():
    many = torch.stack([torch.randn(1000, generator=generator_for(0, f"purpose {i}")) for i in range(20)])
    correlations = torch.corrcoef(many)[torch.triu(torch.ones(20, 20, dtype=torch.bool), 1)]
    assert correlations.abs().max().item() < 0.13  # 4 standard errors of 1000 pairs


def test_streams_leave_the_global_state_alone():
    before = torch.get_rng_state()
    draws().normal("noise", 3)
    GaussianPrior(3).sample(4, generator_for(0, "latents"))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeding_layers_makes_dropout_repeat():
    def dropped(seed):
        seed_layers(stream_seed(seed, "layers"), torch.device("cpu"))
        return torch.nn.functional.dropout(torch.ones(64), 0.5)

    assert torch.equal(dropped(0), dropped(0))
    assert not torch.equal(dropped(0), dropped(1))


PRIORS = {  # mean, variance, least, greatest
    "gaussian": (GaussianPrior(4), 0, 1, -5, 5),
    "uniform": (UniformPrior(4), 0, 1 / 3, -1, 1),
    "uniform of unit variance": (UniformPrior(4, 3**0.5), 0, 1, -(3**0.5), 3**0.5),
}


@pytest.mark.parametrize(("prior", "mean", "variance", "low", "high"), PRIORS.values(), ids=PRIORS.keys())
def test_moments_of_the_priors(prior, mean, variance, low, high):
    latents = prior.sample(20000, generator_for(0, "latents"))
    assert latents.shape == (20000, 4)
    assert latents.dtype == torch.float32
    assert latents.mean().item() == pytest.approx(mean, abs=0.015)
    assert latents.var().item() == pytest.approx(variance, abs=0.015)
    assert low <= latents.min().item() < latents.max().item() < high


def test_the_uniform_prior_s_distribution_function_and_density():
    prior = UniformPrior(1, bound=2.0)
    points = torch.tensor([-3.0, -2.0, -1.0, 0.0, 2.0, 3.0])
    assert prior.cdf(points).tolist() == [0, 0, 0.25, 0.5, 1, 1]
    assert prior.quantile(torch.tensor([0.0, 0.25, 1.0])).tolist() == [-2, -1, 2]
    assert prior.log_prob(points).exp().tolist() == pytest.approx([0, 0.25, 0.25, 0.25, 0.25, 0])
    with pytest.raises(UserError, match=r"prior\.bound is 0\.0"):
        UniformPrior(1, bound=0.0)
