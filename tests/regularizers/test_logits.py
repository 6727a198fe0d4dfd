"""One-sided label smoothing and LeCam's penalty."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from gan_research.losses import Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from gan_research.networks.base import DOutput
from gan_research.regularizers import Drift, LabelSmoothing, LeCam, Side
from gan_research.utils.errors import UserError


def penalised(regularizer, loss, real, fake):
    """D's loss (N,) on these logits, the penalty in it."""
    return loss.discriminator(real, fake) + regularizer.weight * regularizer.penalty(step_of(real, fake))


def step_of(real, fake):
    """What a penalty on logits (N,) sees of a step."""
    real, fake = (Side(None, None, DOutput(logits, None)) for logits in (real, fake))
    return SimpleNamespace(real=real, fake=fake)


# --- label smoothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_smoothed_loss_is_the_cross_entropy_with_smoothed_targets(smoothing, dtype, loss):
    real, fake = torch.linspace(-9, 9, 41, dtype=dtype), torch.linspace(7, -12, 41, dtype=dtype)
    entropy = partial(binary_cross_entropy_with_logits, reduction="none")
    expected = entropy(real, torch.full_like(real, 1 - smoothing)) + entropy(fake, torch.zeros_like(fake))
    got = penalised(LabelSmoothing(smoothing), loss, real, fake)
    assert got.dtype == dtype
    assert got.tolist() == pytest.approx(expected.tolist(), rel=1e-6, abs=1e-6)


def test_the_smoothed_optimum():
    """D's best of p [(1 - s) softplus(-l) + s softplus(l)] + q softplus(l) is (1 - s) p / (p + q).

    Its derivative in l is p (D - (1 - s)) + q D, with D = sigmoid(l).
    """
    p, q, s = torch.tensor([0.1, 0.2, 0.3, 0.4]).double(), torch.tensor([0.4, 0.1, 0.3, 0.2]).double(), 0.1
    best = ((1 - s) * p / (p + q)).logit().requires_grad_()
    pay = lambda l: (p * penalised(LabelSmoothing(s), NonSaturating(), l, l) - (p - q) * softplus(l)).sum()  # noqa: E731, E741
    (slope,) = torch.autograd.grad(pay(best), best)
    assert slope.abs().max().item() < 1e-12
    for i in range(4):
        for step in (-0.1, 0.1):
            assert pay(best + step * torch.eye(4)[i]) > pay(best) + 1e-4
    assert (best.sigmoid() - p / (p + q)).abs().min().item() > 0.01


def test_in_a_game_the_discriminator_steps_on_the_smoothed_loss(game, play):
    seen = []

    class Watch(LabelSmoothing):
        def penalty(self, step):
            seen.append((step.real.images.detach(), step.fake.images.detach()))
            return super().penalty(step)

    gan = play(rounds=1, regularizers={"label_smoothing": Watch(0.2)})
    d, ((real, fake),) = game().discriminator, seen
    on_real, on_fake = d(real).logits, d(fake).logits
    loss = (0.8 * softplus(-on_real) + 0.2 * softplus(on_real) + softplus(on_fake)).mean()
    slopes = torch.autograd.grad(loss, list(d.parameters()))
    for old, slope, new in zip(d.parameters(), slopes, gan.discriminator.parameters(), strict=True):
        assert (old - 0.05 * slope - new).abs().max().item() < 1e-6


@pytest.mark.parametrize("loss", [Hinge(), LeastSquares(), Wasserstein()])
def test_losses_whose_logits_are_no_log_odds_are_refused(loss, game):
    with pytest.raises(
        UserError, match=rf"^label_smoothing requires .* log-odds, unlike those of {type(loss).__name__}"
    ):
        game(loss=loss, regularizers={"label_smoothing": LabelSmoothing()})


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_impossible_smoothing_is_refused(smoothing):
    with pytest.raises(UserError, match=f"label_smoothing: smoothing={smoothing}: set it to at least 0"):
        LabelSmoothing(smoothing)


# --- LeCam ---------------------------------------------------------------------------------------------------------


def test_lecam_by_hand_over_three_updates():
    lecam = LeCam(decay=0.5)

    def penalty(real, fake):
        """The penalties (N,) of a micro-batch, which is then collected."""
        step = step_of(torch.tensor(real), torch.tensor(fake))
        values = lecam.penalty(step)
        assert torch.equal(values, lecam.penalty(step))  # asking changes nothing
        lecam.update(step)
        return values.tolist()

    # before anything is known both averages are 0
    assert penalty([2.0, 4.0], [-1.0, -2.0]) == [5, 20]
    # a second micro-batch of the same update: still 0
    assert penalty([1.0, 1.0], [-2.0, 1.0]) == [5, 2]
    lecam.after_step("discriminator", None)
    # means of the micro-batches' means: reals (3 + 1) / 2 = 2, fakes (-1.5 - 0.5) / 2 = -1; half of them
    assert (lecam.alpha_real.item(), lecam.alpha_fake.item()) == (1.0, -0.5)
    # D(x) against the fakes' average, D(G(z)) against the reals'
    assert penalty([0.5], [0.0]) == [1 + 1]
    lecam.after_step("generator", None)
    assert (lecam.alpha_real.item(), lecam.alpha_fake.item()) == (1.0, -0.5)  # G's steps don't count
    lecam.after_step("discriminator", None)
    assert (lecam.alpha_real.item(), lecam.alpha_fake.item()) == (0.75, -0.25)
    assert penalty([0.75], [0.75]) == [1]


def test_lecam_pulls_the_logits_but_not_the_averages():
    lecam = LeCam()
    lecam.alpha_real.fill_(2.0)
    lecam.alpha_fake.fill_(-3.0)
    real, fake = torch.tensor([1.0, -1.0], requires_grad=True), torch.tensor([0.5, 5.0], requires_grad=True)
    lecam.penalty(step_of(real, fake)).sum().backward()
    assert real.grad.tolist() == [2 * (1 + 3), 2 * (-1 + 3)]
    assert fake.grad.tolist() == [2 * (0.5 - 2), 2 * (5 - 2)]


def test_lecams_averages_in_a_game(play):
    lecam = LeCam()
    assert (lecam.weight, lecam.decay) == (0.3, 0.99)
    gan = play(rounds=4, accumulation=2, regularizers={"lecam": lecam}, log_every=100)
    values = gan.loss_log.flush()
    for alpha, name in ((lecam.alpha_real, "logits/real"), (lecam.alpha_fake, "logits/fake")):
        average = 0.0
        for mean in values[name].view(4, 4).mean(1).tolist():
            average = 0.99 * average + 0.01 * mean
        assert alpha.item() == pytest.approx(average, rel=1e-5)
    with pytest.raises(UserError, match=r"lecam: decay=1.0: set it to at least 0 and less than 1"):
        LeCam(decay=1.0)


def updated(lecam, *means):
    """The averages (real, fake) after updates whose logits have these means."""
    for real, fake in means:
        lecam.update(step_of(torch.tensor([real - 1, real + 1]), torch.tensor([fake - 2, fake + 2])))
        lecam.after_step("discriminator", None)
    return lecam.alpha_real.item(), lecam.alpha_fake.item()


def test_a_clipped_lecam_pulls_only_logits_that_are_too_far_apart():
    lecam = LeCam(clip=True)
    lecam.alpha_real.fill_(2.0)
    lecam.alpha_fake.fill_(-3.0)
    real, fake = torch.tensor([1.0, -4.0], requires_grad=True), torch.tensor([0.5, 5.0], requires_grad=True)
    values = lecam.penalty(step_of(real, fake))
    assert values.tolist() == [4**2 + 1.5**2, 0]  # unclipped, the second would be 1 + 9
    values.sum().backward()
    assert real.grad.tolist() == [2 * (1 + 3), 0]
    assert fake.grad.tolist() == [-2 * (2 - 0.5), 0]


def test_lecam_starts_with_the_averages_of_the_last_update_and_not_with_0():
    """Without `start` they begin at 0 and with it at the last mean: no other value (7777) or rate comes in."""
    lecam, step = LeCam(decay=0.5, start=2), step_of(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 5.0]))
    assert lecam.penalty(step).tolist() == [0, 0]
    assert updated(lecam, (4.0, -8.0)) == (4, -8)
    assert lecam.penalty(step).tolist() == [0, 0]
    assert updated(lecam, (2.0, -6.0)) == (2, -6)
    assert lecam.penalty(step).tolist() == [49 + 2.25, 25 + 9]
    assert updated(lecam, (4.0, -2.0), (0.0, 0.0)) == (1.5, -2)  # half-way to 4 and -2, and to 0
    with pytest.raises(UserError, match="lecam: start=-1: set it to at least 0"):
        LeCam(start=-1)


def test_lecams_averages_after_n_updates_are_geometric_sums():
    means, decay = [(1.0, -2.0), (3.0, 0.5), (-2.0, -1.0), (0.5, 4.0)], 0.9
    lecam, debiased = LeCam(decay=decay), LeCam(decay=decay, debias=True)
    sums = [sum((1 - decay) * decay ** (3 - i) * mean[side] for i, mean in enumerate(means)) for side in (0, 1)]
    assert updated(lecam, *means) == pytest.approx(sums, rel=1e-5)
    step, mass = step_of(torch.zeros(1), torch.zeros(1)), 1 - decay**4
    assert debiased.penalty(step).tolist() == [0]
    assert updated(debiased, *means) == pytest.approx(sums, rel=1e-5)
    expected = (sums[0] / mass) ** 2 + (sums[1] / mass) ** 2
    assert debiased.penalty(step).item() == pytest.approx(expected, rel=1e-5)
    constant = LeCam(debias=True)
    updated(constant, (3.0, -1.0))
    assert constant.penalty(step).item() == pytest.approx(9 + 1, rel=1e-5)  # the only means there were
    after_start = LeCam(start=1, debias=True)
    updated(after_start, (3.0, -1.0))
    assert after_start.seen.item() == 1


def test_the_defaults_of_lecam_have_the_state_of_earlier_versions():
    assert list(LeCam().state_dict()) == ["alpha_real", "alpha_fake"]


# --- drift ---------------------------------------------------------------------------------------------------------


def test_drift_is_the_square_of_the_reals_logits():
    real = torch.tensor([3.0, -0.5], requires_grad=True)
    values = Drift().penalty(step_of(real, torch.tensor([9.0, 9.0])))
    assert (values.tolist(), Drift().weight) == ([9, 0.25], 0.001)
    assert torch.autograd.grad(values.sum(), real)[0].tolist() == [6, -1]
