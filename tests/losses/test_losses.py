"""The adversarial losses against numbers worked out by hand, and minimax against the paper's theory."""

import math

import pytest
import torch

from gan_research.losses import AdversarialLoss, Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein

LOG2 = math.log(2)
SOFTPLUS_2 = 2.1269280110429727
"""log(1 + e^2); log(1 + e^-2) is 2 less."""
SOFTPLUS_1 = 1.3132616875182228


def sigmoid(logits):
    return 1 / (1 + torch.exp(-logits))


# name: (loss, D's loss at (real, fake) = (0, 0), (2, -1), (-1, 2); G's at fake = 0, 2, -2;
#        G's gradient in the fake logit; D's gradients in the real and the fake logit)
LOSSES = {
    "minimax": (
        Minimax(),
        (2 * LOG2, (SOFTPLUS_2 - 2) + (SOFTPLUS_1 - 1), SOFTPLUS_1 + SOFTPLUS_2),
        (-LOG2, -SOFTPLUS_2, 2 - SOFTPLUS_2),
        lambda fake: -sigmoid(fake),
        (lambda real: -sigmoid(-real), sigmoid),
    ),
    "non_saturating": (
        NonSaturating(),
        (2 * LOG2, (SOFTPLUS_2 - 2) + (SOFTPLUS_1 - 1), SOFTPLUS_1 + SOFTPLUS_2),
        (LOG2, SOFTPLUS_2 - 2, SOFTPLUS_2),
        lambda fake: -sigmoid(-fake),
        (lambda real: -sigmoid(-real), sigmoid),
    ),
    "least_squares": (
        LeastSquares(),
        (0.5, 1.0, 4.0),
        (0.5, 0.5, 4.5),
        lambda fake: fake - 1,
        (lambda real: real - 1, lambda fake: fake),
    ),
    "least_squares of other codes": (
        LeastSquares(a=-1.0, b=1.0, c=0.0),
        (1.0, 0.5, 6.5),
        (0.0, 2.0, 2.0),
        lambda fake: fake,
        (lambda real: real - 1, lambda fake: fake + 1),
    ),
    "hinge": (
        Hinge(),
        (2.0, 0.0, 5.0),
        (0.0, -2.0, 2.0),
        lambda fake: -torch.ones_like(fake),
        (lambda real: -(real < 1).to(real), lambda fake: (fake > -1).to(fake)),
    ),
    "wasserstein": (
        Wasserstein(),
        (0.0, -3.0, 3.0),
        (0.0, -2.0, 2.0),
        lambda fake: -torch.ones_like(fake),
        (lambda real: -torch.ones_like(real), torch.ones_like),
    ),
}

family = pytest.mark.parametrize(
    ("loss", "d_values", "g_values", "g_slope", "d_slopes"), LOSSES.values(), ids=LOSSES.keys()
)


def logits():
    """-30 ... 30, without the kinks of the hinge."""
    return torch.linspace(-30, 30, 240, dtype=torch.float32, requires_grad=True)


def relative_error(got, wanted):
    """The largest, where `wanted` is 0 the absolute one."""
    scale = torch.where(wanted == 0, 1, wanted.abs())
    return ((got.double() - wanted) / scale).abs().max().item()


def test_every_loss_has_a_row():
    def below(cls):
        return {cls}.union(*(below(sub) for sub in cls.__subclasses__()))

    ours = {cls for cls in below(AdversarialLoss) - {AdversarialLoss} if cls.__module__.startswith("gan_research.")}
    assert ours == {type(row[0]) for row in LOSSES.values()}


@family
def test_golden_values(loss, d_values, g_values, g_slope, d_slopes):
    real, fake = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([0.0, -1.0, 2.0])
    assert loss.discriminator(real, fake).tolist() == pytest.approx(d_values, rel=0, abs=1e-6)
    assert loss.generator(torch.tensor([0.0, 2.0, -2.0])).tolist() == pytest.approx(g_values, rel=0, abs=1e-6)


@family
def test_generator_gradient_in_the_logit(loss, d_values, g_values, g_slope, d_slopes):
    fake = logits()
    (got,) = torch.autograd.grad(loss.generator(fake).sum(), fake)
    assert relative_error(got, g_slope(fake.detach().double())) < 1e-5


@family
def test_discriminator_gradients_in_the_logits(loss, d_values, g_values, g_slope, d_slopes):
    real, fake = logits(), logits()
    got = torch.autograd.grad(loss.discriminator(real, fake).sum(), (real, fake))
    for gradient, slope in zip(got, d_slopes, strict=True):
        assert relative_error(gradient, slope(real.detach().double())) < 1e-5


@family
@pytest.mark.parametrize("magnitude", [1e4, -1e4])
def test_finite_far_out(loss, d_values, g_values, g_slope, d_slopes, magnitude):
    real = torch.tensor([magnitude, -magnitude], requires_grad=True)
    fake = torch.tensor([magnitude, magnitude], requires_grad=True)
    values = torch.cat([loss.discriminator(real, fake), loss.generator(fake)])
    gradients = torch.autograd.grad(values.sum(), (real, fake))
    assert torch.cat([values, *gradients]).isfinite().all()


@family
def test_unreduced(loss, d_values, g_values, g_slope, d_slopes):
    real, fake = torch.randn(7), torch.randn(7)
    assert loss.discriminator(real, fake).shape == (7,)
    assert loss.generator(fake).shape == (7,)
    changed = fake.clone()
    changed[3] += 1
    assert (loss.generator(changed) != loss.generator(fake)).nonzero().flatten().tolist() == [3]
    assert not loss.needs_real  # none of these pairs fakes with reals


def test_only_the_losses_of_goodfellow_give_log_odds():
    assert {name for name, row in LOSSES.items() if row[0].log_odds} == {"minimax", "non_saturating"}


def test_the_value_of_the_game_is_minus_log_4_where_the_discriminator_says_one_half():
    half = torch.zeros(5, dtype=torch.float64)
    assert -Minimax().discriminator(half, half).mean().item() == pytest.approx(-math.log(4), abs=1e-12)


DISTRIBUTIONS = {
    "uneven": ([0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]),
    "far apart": ([0.7, 0.2, 0.099, 0.001], [0.001, 0.1, 0.2, 0.699]),
    "equal": ([0.25, 0.25, 0.4, 0.1], [0.25, 0.25, 0.4, 0.1]),
}


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()], ids=["minimax", "non_saturating"])
@pytest.mark.parametrize(("p", "q"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
def test_the_optimal_discriminator_is_p_over_p_plus_q_and_its_value_2_jsd_minus_log_4(loss, p, q):
    """Goodfellow et al. 2014, proposition 1 and theorem 1, by minimising the loss numerically."""
    p, q = torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64)
    logit = torch.zeros(4, dtype=torch.float64, requires_grad=True)

    def expected_loss():
        # over all pairs of a real outcome i ~ p and a fake outcome j ~ q
        pairs = loss.discriminator(logit.repeat_interleave(4), logit.repeat(4))
        return (pairs * torch.outer(p, q).flatten()).sum()

    optimizer = torch.optim.LBFGS(
        [logit], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = expected_loss()
        loss.backward()
        return loss

    optimizer.step(closure)
    middle = (p + q) / 2
    jsd = ((p * (p / middle).log()).sum() + (q * (q / middle).log()).sum()).item() / 2
    assert (logit.detach().sigmoid() - p / (p + q)).abs().max().item() < 1e-6
    assert -expected_loss().item() == pytest.approx(2 * jsd - math.log(4), abs=1e-6)
