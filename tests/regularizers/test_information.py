"""The mutual information of codes: its closed forms, who trains Q, and games without what it needs."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from gan_research.networks import MLPDiscriminator
from gan_research.networks.base import DOutput
from gan_research.networks.heads import InfoGANHead, LinearHead
from gan_research.regularizers import MutualInformation, Side
from gan_research.sampling.priors import CodedPrior, GaussianPrior
from gan_research.training.refinement import LatentRefinement
from gan_research.utils.errors import UserError

LOG = lambda name, value: None  # noqa: E731


def step_of(latents, logits, mean, log_var, log=LOG):
    extras = {"q_logits": logits, "q_mean": mean, "q_log_var": log_var}
    return SimpleNamespace(latents=latents, log=log, fake=Side(None, None, DOutput(None, None, extras)))


def codes(categorical, categories, continuous, n=100_000):
    """Latents of one number of noise, and the codes in them."""
    prior = CodedPrior(1 + categorical * categories + continuous, categorical, categories, continuous)
    latents = prior.sample(n, torch.Generator().manual_seed(0)).double()
    return latents, *prior.codes.split(latents)[1:]


def test_closed_forms():
    latents, one_hot, continuous = codes(2, 10, 1)
    n, mutual = len(latents), MutualInformation(continuous_weight=1.0)
    nothing = torch.zeros(n, 2, 10).double(), torch.zeros(n, 1).double(), torch.full((n, 1), math.log(1 / 3)).double()
    # a G that ignores its codes: log d of each category, and the entropy of the best Gaussian for U(-1, 1)
    blind = MutualInformation(continuous_weight=0.0).penalty(step_of(latents, *nothing))
    assert blind.shape == (n,)
    assert blind.mean().item() == pytest.approx(2 * math.log(10), abs=1e-9)
    gaussian = (mutual.penalty(step_of(latents, *nothing)) - blind).mean().item()
    assert gaussian == pytest.approx(0.5 * math.log(2 * math.pi / 3) + 0.5, abs=5e-3)
    assert 0.5 * math.log(2 * math.pi / 3) + 0.5 == pytest.approx(0.8696, abs=1e-4)
    # that variance is the best one
    for change in (-0.2, 0.2):
        assert mutual.penalty(step_of(latents, *nothing[:2], nothing[2] + change)).mean() > (blind.mean() + gaussian)
    # a G from whose samples Q reads the codes
    logged = {}
    log = lambda name, value: logged.update({name: value.mean().item()})  # noqa: E731
    exact = one_hot * 60, continuous, torch.full((n, 1), math.log(1e-3)).double()
    value = mutual.penalty(step_of(latents, *exact, log)).mean().item()
    assert value == pytest.approx(0.5 * math.log(2 * math.pi * 1e-3), abs=2e-3)
    assert logged["information"] == pytest.approx(2 * math.log(10) + math.log(2) - value, abs=1e-9)


@pytest.mark.parametrize("numbers", [(1, 3, 0), (0, 2, 2), (2, 3, 1)])
def test_a_batch_of_one_and_codes_of_one_kind(numbers):
    """Fails for code that squeezes the codes, which drops the batch of one."""
    latents = codes(*numbers, n=4)[0]
    head = InfoGANHead(5, 0, True, *numbers, hidden=0).double()
    extras = head.extras(torch.randn(4, 5).double(), None)
    values = MutualInformation().penalty(step_of(latents, *extras.values()))
    alone = [MutualInformation().penalty(step_of(latents[[i]], *(e[[i]] for e in extras.values()))) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), values)
    assert torch.autograd.gradcheck(
        lambda *outputs: MutualInformation().penalty(step_of(latents, *outputs)),
        tuple(extra.detach().requires_grad_() for extra in extras.values()),
    )


def play_codes(play, trunk, **arguments):
    torch.manual_seed(0)
    head = partial(InfoGANHead, categories=3, continuous=1, hidden=4)
    discriminator = partial(MLPDiscriminator, width=8, depth=1, head=head)
    return play(
        prior=CodedPrior(6, 1, 3, 1),
        discriminator=discriminator,
        regularizers={"mutual_information": MutualInformation(trunk=trunk)},
        **arguments,
    )


def test_g_trains_q_and_the_trunk_only_if_asked(play):
    moved, games = {}, {}
    for trunk in (False, True):
        gan = games[trunk] = play_codes(play, trunk, rounds=2)
        ids = [set(map(id, o.param_groups[0]["params"])) for o in gan.trainer.optimizers]
        q = set(map(id, gan.discriminator.head.infer.parameters()))
        assert q.isdisjoint(ids[0])
        assert q <= ids[1]
        assert len(ids[0] | ids[1]) == len(list(gan.generator.parameters())) + len(list(gan.discriminator.parameters()))
        moved[trunk] = gan.discriminator.body[0].weight.detach()
    plain = play_codes(play, False, rounds=2, seed=0)
    assert torch.equal(plain.discriminator.body[0].weight, moved[False])
    assert not torch.equal(moved[False], moved[True])
    assert games[True].objective.penalties["discriminator"][0][0] == "mutual_information/discriminator"
    assert games[False].objective.penalties["discriminator"] == []


class Shift(LatentRefinement):
    def __call__(self, latents, score, prior, noise, log):
        return latents + 1


HEAD, CODES = partial(InfoGANHead, categories=3, continuous=1, hidden=0), CodedPrior(6, 1, 3, 1)


@pytest.mark.parametrize(
    ("head", "prior", "options", "message"),
    [
        (HEAD, GaussianPrior(6), {}, "needs codes in the latents: set prior=coded"),
        (LinearHead, CODES, {}, "provides 'q_logits', and LinearHead"),
        (LinearHead, CODES, {"regularizers": {}}, "has codes, which LinearHead doesn't infer: set head=infogan"),
        (HEAD, CODES, {"regularizers": {}}, "provides 'q_logits', and no regularizer"),
        (InfoGANHead, CODES, {}, "1 x 3 categorical and 1 continuous codes, and the head infers 1 x 10 categorical"),
        (HEAD, CODES, {"refinement": Shift()}, "a refinement changes: set refinement=none"),
    ],
)
def test_games_without_codes_or_without_q_are_refused(head, prior, options, message, game):
    network = partial(MLPDiscriminator, width=8, depth=1, head=head)
    arguments = {"regularizers": {"it": MutualInformation()}, **options}
    with pytest.raises(UserError, match=message):
        game(prior=prior, discriminator=network, **arguments)


def test_packs_have_no_codes(game):
    packs = partial(MLPDiscriminator, width=8, depth=1, head=HEAD, packing=2)
    with pytest.raises(UserError, match=r"set discriminator\.packing=1"):
        game(prior=CODES, discriminator=packs, regularizers={"it": MutualInformation()})
