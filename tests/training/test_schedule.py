"""The order of updates in a round, and the reals of each; with the generator first, as in StyleGAN2's code."""

from functools import partial

import pytest
import torch
from torch.nn.functional import softplus

from gan_research.losses import NonSaturating, Relativistic
from gan_research.regularizers import R1, Regularizer
from gan_research.testing.checks import Case, check_accumulation, check_capture, check_ranks, check_resume
from gan_research.theory.dirac import DiracGAN
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError
from gan_research.utils.rng import Noise, stream_seed

D, G = ("discriminator",), ("generator",)


@pytest.mark.parametrize(
    ("schedule", "plan", "reals", "minibatches"),
    [
        (Schedule(2, 3), (D, D, G, G, G), (0, 1, 1, 1, 1), 2),
        (Schedule(2, 3, first="generator"), (G, G, G, D, D), (0, 0, 0, 0, 1), 2),
        (Schedule(2, 1, generator_reals="fresh"), (D, D, G), (0, 1, 2), 3),
        (Schedule(2, 2, generator_reals="fresh", first="generator"), (G, G, D, D), (0, 1, 2, 3), 4),
        (Schedule(2, 2, "simultaneous"), (D, D + G, G), (0, 1, 1), 2),
    ],
)
def test_updates_of_a_round_and_their_reals(schedule, plan, reals, minibatches):
    assert (schedule.plan(0), schedule.reals, schedule.minibatches) == (plan, reals, minibatches)


class Tape(Regularizer):
    """Notes each update: its player, the reals, and D's logit of a fixed image."""

    players = ("discriminator", "generator")

    def __init__(self):
        super().__init__(weight=0.0)
        self.notes = []

    def penalty(self, step):
        with torch.no_grad():
            logit = step.networks["discriminator"](torch.ones(1, 1, 4, 4)).logits.item()
        self.notes.append((step.player, step.real.images.detach().clone(), logit))
        return step.fake.out.logits


@pytest.mark.parametrize("fresh", [False, True])
def test_the_generator_is_updated_first_against_the_discriminator_of_the_last_round(fresh, play):
    tape = Tape()
    schedule = Schedule(2, 2, first="generator", generator_reals="fresh" if fresh else "same")
    gan = play(rounds=3, batch_size=5, regularizers={"tape": tape}, schedule=schedule)
    players, reals, logits = zip(*tape.notes, strict=True)
    assert players == (*G * 2, *D * 2) * 3
    for g1, g2, d1, d2 in (range(start, start + 4) for start in (0, 4, 8)):
        assert logits[g1] == logits[g2] == logits[d1] != logits[d2]
        assert torch.equal(reals[g1], reals[d1]) == torch.equal(reals[g2], reals[d1]) == (not fresh)
    used = torch.cat(reals if fresh else [*reals[2:4], *reals[6:8], *reals[10:]]).flatten(1)
    assert len(used.unique(dim=0)) == len(used) == (60 if fresh else 30)  # of 60 images, each once
    assert (gan.images_seen, gan.updates) == (30, {"discriminator": 6, "generator": 6})
    assert gan.batch_size == 5


def test_the_first_step_is_along_the_gradient_at_the_initial_discriminator(game, play):
    arguments = {"schedule": Schedule(first="generator"), "seed": 5, "optimizer": partial(torch.optim.SGD, lr=0.8)}
    gan, played = game(**arguments), play(rounds=1, **arguments)
    latents = Noise(stream_seed(5, "generator"), 0, 4, 0, 4).sample("latents", gan.prior.sample)
    parameters = list(gan.generator.parameters())
    slopes = torch.autograd.grad(softplus(-gan.discriminator(gan.generator(latents)).logits).mean(), parameters)
    for new, old, slope in zip(played.generator.parameters(), parameters, slopes, strict=True):
        torch.testing.assert_close(new, old - 0.8 * slope, rtol=0, atol=1e-6)
        assert slope.abs().max() > 1e-4


@pytest.mark.parametrize("reals", ["same", "fresh"])
def test_it_is_resumed_and_captured_and_the_same_on_ranks(reals):
    schedule = Schedule(2, 2, generator_reals=reals, first="generator")
    case = Case((R1(0.1, every=2),), loss=Relativistic(NonSaturating()), schedule=schedule)
    for check in (check_resume, check_accumulation, check_capture):
        check(case)
    check_ranks([case])


def test_alternating_steps_on_the_dirac_gan_grow_alike_in_both_orders():
    """The product of two matrices has the eigenvalues of the product in the other order."""
    dirac = DiracGAN(NonSaturating())
    orders = [dirac.step_rate(Schedule(first=first), 0.1) for first in ("discriminator", "generator")]
    assert orders[0] == pytest.approx(orders[1], abs=1e-9)
    assert orders[0] != pytest.approx(dirac.step_rate(Schedule(updates="simultaneous"), 0.1), abs=1e-4)


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match=r"schedule.first=generator: in simultaneous updates.*set updates=alternating"):
        Schedule(updates="simultaneous", first="generator")
    with pytest.raises(UserError, match=r"schedule.first=both: give discriminator or generator"):
        Schedule(first="both")
