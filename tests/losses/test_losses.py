"""The adversarial losses against numbers worked out by hand, and the f-GAN ones against the paper's tables."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import softplus

from gan_research.config.build import make
from gan_research.config.compose import choice, groups
from gan_research.losses import (
    KL,
    AdversarialLoss,
    Alpha,
    GANDivergence,
    Hinge,
    JensenShannon,
    LeastSquares,
    Minimax,
    MultiHinge,
    NonSaturating,
    PearsonChi2,
    Relativistic,
    RelativisticAverage,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
    Wasserstein,
)
from gan_research.losses.multi_hinge import crammer_singer
from gan_research.networks import MLPDiscriminator
from gan_research.networks.heads import MultiHingeHead
from gan_research.utils.errors import UserError

E, LOG2 = math.e, math.log(2)


def sp(x):
    """softplus: log(1 + e^x)."""
    return math.log1p(math.exp(x))


def sigmoid(logits):
    return 1 / (1 + torch.exp(-logits))


def minus_one(logits):
    return -torch.ones_like(logits)


@dataclass(frozen=True)
class Row:
    """What is known of a loss.

    d: D's loss at (real, fake) = (0, 0), (2, -1), (-1, 2); g: G's at fake = 0, 2, -2 beside real = 0, 1, -1.
    d_slopes(real, fake), g_slope(fake, real): the gradients of their sums, in the real and the fake logits of D's, in
    the fake ones of G's.
    far: the largest logits at which the exact values are within float32: less than 1e4 where they grow exponentially.
    """

    loss: AdversarialLoss
    d: tuple[float, float, float]
    g: tuple[float, float, float]
    d_slopes: Callable
    g_slope: Callable
    far: float = 1e4


def separable(loss, d, g, real_slope, fake_slope, g_slope, far=1e4):
    """A row of slopes that are functions of one logit each."""
    return Row(loss, d, g, lambda r, f: (real_slope(r), fake_slope(f)), lambda f, r: g_slope(f), far)


def paired(base, d, g, slope):
    """A row of pairing, from the slope of phi."""
    return Row(Relativistic(base), d, g, lambda r, f: (slope(r - f), -slope(r - f)), lambda f, r: slope(f - r))


def averaged(base, d, g, real_slope, fake_slope):
    """A row of the relativistic average, from the slopes of the base's two terms."""

    def slopes(real, fake):
        on_real, on_fake = real_slope(real - fake.mean()), fake_slope(fake - real.mean())
        return on_real - on_fake.mean(), on_fake - on_real.mean()

    return Row(RelativisticAverage(base), d, g, slopes, lambda f, r: slopes(f, r)[0])


def alpha_slope(alpha):
    """Of f*(g(v)) for alpha < 1: ((1 - alpha) s)^(1 / (alpha - 1)) sigmoid(-v) with s = softplus(-v)."""

    def slope(v):
        s = torch.where(v > 20, torch.exp(-v), torch.log1p(torch.exp(-v)))
        return ((1 - alpha) * s) ** (1 / (alpha - 1)) * sigmoid(-v)

    return slope


LOSSES = {
    "minimax": separable(
        Minimax(),
        (2 * LOG2, sp(-2) + sp(-1), sp(1) + sp(2)),
        (-LOG2, -sp(2), -sp(-2)),
        lambda real: -sigmoid(-real),
        sigmoid,
        lambda fake: -sigmoid(fake),
    ),
    "non_saturating": separable(
        NonSaturating(),
        (2 * LOG2, sp(-2) + sp(-1), sp(1) + sp(2)),
        (LOG2, sp(-2), sp(2)),
        lambda real: -sigmoid(-real),
        sigmoid,
        lambda fake: -sigmoid(-fake),
    ),
    "least_squares": separable(
        LeastSquares(),
        (0.5, 1.0, 4.0),
        (0.5, 0.5, 4.5),
        lambda real: real - 1,
        lambda fake: fake,
        lambda fake: fake - 1,
    ),
    "least_squares of other codes": separable(
        LeastSquares(a=-1.0, b=1.0, c=0.0),
        (1.0, 0.5, 6.5),
        (0.0, 2.0, 2.0),
        lambda real: real - 1,
        lambda fake: fake + 1,
        lambda fake: fake,
    ),
    "hinge": separable(
        Hinge(),
        (2.0, 0.0, 5.0),
        (0.0, -2.0, 2.0),
        lambda real: -(real < 1).to(real),
        lambda fake: (fake > -1).to(fake),
        minus_one,
    ),
    "multi_hinge": separable(
        MultiHinge(),
        (2.0, 0.0, 5.0),
        (0.05, 0.0, 0.15),
        lambda real: -(real < 1).to(real),
        lambda fake: (fake > -1).to(fake),
        lambda fake: -0.05 * (fake < 1).to(fake),
    ),
    "wasserstein": separable(Wasserstein(), (0.0, -3.0, 3.0), (0.0, -2.0, 2.0), minus_one, torch.ones_like, minus_one),
    "f_kl": separable(
        KL(),
        (1 / E, -2 + E**-2, 1 + E),
        (0.0, -2.0, 2.0),
        minus_one,
        lambda fake: torch.exp(fake - 1),
        minus_one,
        far=80.0,
    ),
    "f_reverse_kl": separable(
        ReverseKL(),
        (0.0, E**-2 - 2, E + 1),
        (1.0, E**-2, E**2),
        lambda real: -torch.exp(-real),
        torch.ones_like,
        lambda fake: -torch.exp(-fake),
        far=80.0,
    ),
    "f_pearson": separable(
        PearsonChi2(), (0.0, -2.75, 4.0), (0.0, -2.0, 2.0), minus_one, lambda fake: fake / 2 + 1, minus_one
    ),
    "f_squared_hellinger": separable(
        SquaredHellinger(),
        (0.0, E**-2 + E**-1 - 2, E + E**2 - 2),
        (0.0, E**-2 - 1, E**2 - 1),
        lambda real: -torch.exp(-real),
        torch.exp,
        lambda fake: -torch.exp(-fake),
        far=80.0,
    ),
    "f_gan": separable(
        GANDivergence(),
        (2 * LOG2, sp(-2) + sp(-1), sp(1) + sp(2)),
        (LOG2, sp(-2), sp(2)),
        lambda real: -sigmoid(-real),
        sigmoid,
        lambda fake: -sigmoid(-fake),
    ),
    "f_jensen_shannon": separable(
        JensenShannon(),
        (0.0, sp(-2) + sp(-1) - 2 * LOG2, sp(1) + sp(2) - 2 * LOG2),
        (0.0, sp(-2) - LOG2, sp(2) - LOG2),
        lambda real: -sigmoid(-real),
        sigmoid,
        lambda fake: -sigmoid(-fake),
    ),
    "f_total_variation": separable(
        TotalVariation(),
        (0.0, -(math.tanh(1) + math.tanh(2)) / 2, (math.tanh(1) + math.tanh(2)) / 2),
        (0.0, -math.tanh(2) / 2, math.tanh(2) / 2),
        lambda real: -0.5 / real.cosh() ** 2,
        lambda fake: 0.5 / fake.cosh() ** 2,
        lambda fake: -0.5 / fake.cosh() ** 2,
    ),
    "f_alpha": separable(
        Alpha(0.5),
        (LOG2 + 4 / LOG2 - 4, sp(-2) + 4 / sp(1) - 4, sp(1) + 4 / sp(-2) - 4),
        (LOG2 - 2, sp(-2) - 2, sp(2) - 2),
        lambda real: -sigmoid(-real),
        alpha_slope(0.5),
        lambda fake: -sigmoid(-fake),
        far=80.0,
    ),
    "f_alpha of -0.5, minimax": separable(
        Alpha(-0.5, "minimax"),
        tuple(sp(-r) + 4 / 3 - 2 * (1.5 * sp(-f)) ** (1 / 3) for r, f in [(0, 0), (2, -1), (-1, 2)]),
        tuple(2 * (1.5 * sp(-f)) ** (1 / 3) - 2 for f in (0, 2, -2)),
        lambda real: -sigmoid(-real),
        alpha_slope(-0.5),
        lambda fake: -alpha_slope(-0.5)(fake),
    ),
    "f_alpha of 2, minimax": separable(
        Alpha(2.0, "minimax"),
        (0.0, -2.5, 5.0),
        (0.0, -4.0, 0.5),
        minus_one,
        lambda fake: (fake + 1).clamp(min=0),
        lambda fake: -(fake + 1).clamp(min=0),
    ),
    "rp_gan": paired(NonSaturating(), (LOG2, sp(-3), sp(3)), (LOG2, sp(-1), sp(1)), lambda gap: -sigmoid(-gap)),
    "rp_least_squares": paired(LeastSquares(), (0.5, 2.0, 8.0), (0.5, 0.0, 2.0), lambda gap: gap - 1),
    "rp_hinge": paired(Hinge(), (1.0, 0.0, 4.0), (1.0, 0.0, 2.0), lambda gap: -(gap < 1).to(gap)),
    "ra_gan": averaged(
        NonSaturating(),
        (sp(1 / 3) + sp(-1 / 3), sp(-5 / 3) + sp(-4 / 3), sp(4 / 3) + sp(5 / 3)),
        (2 * LOG2, sp(1) + sp(-2), sp(-1) + sp(2)),
        lambda real: -sigmoid(-real),
        sigmoid,
    ),
    "ra_least_squares": averaged(
        LeastSquares(a=-1.0, b=1.0),
        (10 / 9, 5 / 18, 113 / 18),
        (1.0, 2.5, 4.5),
        lambda real: real - 1,
        lambda fake: fake + 1,
    ),
    "ra_hinge": averaged(
        Hinge(),
        (2.0, 0.0, 5.0),
        (2.0, 2.0, 3.0),
        lambda real: -(real < 1).to(real),
        lambda fake: (fake > -1).to(fake),
    ),
}

family = pytest.mark.parametrize("row", LOSSES.values(), ids=LOSSES.keys())


def logits():
    """-30 ... 30 of reals, and as many of fakes; no two, nor their difference, on the kinks of the hinge."""
    real = torch.linspace(-30, 30, 240, dtype=torch.float32)
    return real.clone().requires_grad_(), real.roll(77).requires_grad_()


def relative_error(got, wanted):
    """The largest, where `wanted` is 0 the absolute one."""
    scale = torch.where(wanted == 0, 1, wanted.abs())
    return ((got.double() - wanted) / scale).abs().max().item()


def test_every_loss_has_a_row(finished):
    assert finished == {type(row.loss) for row in LOSSES.values()}


def test_every_choice_has_a_row():
    def told(loss):
        return type(loss), {name: told(value) if name == "base" else value for name, value in vars(loss).items()}

    for name in groups()["loss"]:
        assert told(make(choice("loss", name))) == told(LOSSES[name].loss)


@family
def test_golden_values(row):
    real, fake = torch.tensor([0.0, 2.0, -1.0]), torch.tensor([0.0, -1.0, 2.0])
    assert row.loss.discriminator(real, fake).tolist() == pytest.approx(row.d, rel=1e-6, abs=1e-6)
    real, fake = torch.tensor([0.0, 1.0, -1.0]), torch.tensor([0.0, 2.0, -2.0])
    assert row.loss.generator(fake, real).tolist() == pytest.approx(row.g, rel=1e-6, abs=1e-6)


@family
def test_generator_gradient_in_the_logit(row):
    real, fake = logits()
    (got,) = torch.autograd.grad(row.loss.generator(fake, real).sum(), fake)
    assert relative_error(got, row.g_slope(fake.detach().double(), real.detach().double())) < 1e-5


@family
def test_discriminator_gradients_in_the_logits(row):
    real, fake = logits()
    got = torch.autograd.grad(row.loss.discriminator(real, fake).sum(), (real, fake))
    wanted = row.d_slopes(real.detach().double(), fake.detach().double())
    for gradient, slope in zip(got, wanted, strict=True):
        assert relative_error(gradient, slope) < 1e-5


@family
@pytest.mark.parametrize("sign", [1, -1])
def test_finite_far_out(row, sign):
    far = sign * row.far
    real = torch.tensor([far, -far], requires_grad=True)
    fake = torch.tensor([far, far], requires_grad=True)
    values = torch.cat([row.loss.discriminator(real, fake), row.loss.generator(fake, real)])
    gradients = torch.autograd.grad(values.sum(), (real, fake))
    assert torch.cat([values, *gradients]).isfinite().all()


@family
def test_unreduced(row):
    loss, (real, fake) = row.loss, torch.randn(2, 7, generator=torch.Generator().manual_seed(0))
    assert loss.discriminator(real, fake).shape == (7,)
    assert loss.generator(fake, real).shape == (7,)
    changed = fake.clone()
    changed[3] += 1
    alone = (loss.generator(changed, real) != loss.generator(fake, real)).nonzero().flatten().tolist() == [3]
    assert alone != isinstance(loss, RelativisticAverage)  # whose mean reaches all
    assert loss.needs_real == isinstance(loss, Relativistic | RelativisticAverage)


@pytest.mark.parametrize("name", groups()["loss"])
def test_every_choice_plays(play, name):
    loss = make(choice("loss", name))
    of_classes = {"num_classes": 3, "discriminator": partial(MLPDiscriminator, width=8, head=MultiHingeHead)}
    gan = play(rounds=2, loss=loss, **of_classes if loss.needs_extras else {})
    assert all(weights.isfinite().all() for weights in gan.parameters())


def test_which_logits_are_log_odds():
    named = {name for name, row in LOSSES.items() if row.loss.logits_are_log_odds}
    assert named == {"minimax", "non_saturating", "f_gan", "f_jensen_shannon"}


def test_the_value_of_the_game_is_minus_log_4_where_the_discriminator_says_one_half():
    half = torch.zeros(5, dtype=torch.float64)
    assert -Minimax().discriminator(half, half).mean().item() == pytest.approx(-math.log(4), abs=1e-12)


# --- multi-hinge ----------------------------------------------------------------------------------------------------


def test_multi_hinge_of_several_classes():
    logits, labels = torch.tensor([[1, -0.5, 0.2], [0.3, 0.4, 2]], dtype=torch.float64), torch.tensor([0, 1])
    assert crammer_singer(logits, labels).tolist() == pytest.approx([0.2, 2.6], abs=1e-12)
    assert crammer_singer(logits, labels).mean().item() == pytest.approx(1.4, abs=1e-8)
    random = torch.randn(6, 4, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: crammer_singer(x, torch.arange(6) % 4), random)
    side = lambda logits, labels: SimpleNamespace(  # noqa: E731
        condition=labels, out=SimpleNamespace(extras={"hinge_logits": logits})
    )
    real, fake = side(logits, labels[:1].expand(2)), side(logits, labels)  # of classes 0 and 1, and fakes
    on_real, on_fake = [0.2, 1 + 2 - 0.3], [1 + 1 - 0.2, 0.0]
    of_d = MultiHinge().of_discriminator(real, fake).tolist()
    assert of_d == pytest.approx([r + f for r, f in zip(on_real, on_fake, strict=True)], abs=1e-12)
    assert MultiHinge().of_generator(fake).tolist() == pytest.approx([0.05 * 0.2, 0.05 * 2.6], abs=1e-12)


def test_multi_hinge_of_one_class_is_that_of_its_margin():
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    margin, labels, loss = logits[:, 0] - logits[:, 1], torch.zeros(20, dtype=torch.int64), MultiHinge()
    side = SimpleNamespace(condition=labels, out=SimpleNamespace(extras={"hinge_logits": logits}))
    torch.testing.assert_close(loss.of_discriminator(side, side), loss.discriminator(margin, margin))
    torch.testing.assert_close(loss.of_generator(side), loss.generator(margin))


# --- f-GAN ----------------------------------------------------------------------------------------------------------


def alpha_conjugate(alpha, t):
    return (((alpha - 1) * t + 1).clamp(min=0) ** (alpha / (alpha - 1)) - 1) / alpha


# name: (loss, g(v), f*(t)), as Nowozin et al. 2016 have them in tables 6 and 2 (g increasing, as the text has it)
TABLE = {
    "KL": (KL(), lambda v: v, lambda t: (t - 1).exp()),
    "ReverseKL": (ReverseKL(), lambda v: -(-v).exp(), lambda t: -1 - (-t).log()),
    "PearsonChi2": (PearsonChi2(), lambda v: v, lambda t: t**2 / 4 + t),
    "SquaredHellinger": (SquaredHellinger(), lambda v: 1 - (-v).exp(), lambda t: t / (1 - t)),
    "JensenShannon": (JensenShannon(), lambda v: LOG2 - softplus(-v), lambda t: -(2 - t.exp()).log()),
    "GANDivergence": (GANDivergence(), lambda v: -softplus(-v), lambda t: -(1 - t.exp()).log()),
    "TotalVariation": (TotalVariation(), lambda v: v.tanh() / 2, lambda t: t),
} | {
    f"alpha = {alpha}": (
        Alpha(alpha),
        (lambda v: v) if alpha > 1 else (lambda v, alpha=alpha: 1 / (1 - alpha) - softplus(-v)),
        lambda t, alpha=alpha: alpha_conjugate(alpha, t),
    )
    for alpha in (-0.5, 0.5, 1.5, 2.0, 3.0)
}
table = pytest.mark.parametrize(("loss", "activation", "conjugate"), TABLE.values(), ids=TABLE.keys())


@table
def test_the_terms_are_those_of_the_papers_tables(loss, activation, conjugate):
    v = torch.linspace(-8, 8, 100, dtype=torch.float64)
    assert relative_error(loss.real_term(v), -activation(v)) < 1e-10
    assert relative_error(loss.fake_term(v), conjugate(activation(v))) < 1e-10


@table
def test_both_objectives_of_the_generator(loss, activation, conjugate):
    v = torch.linspace(-8, 8, 100, dtype=torch.float64)
    arguments = (loss.alpha,) if isinstance(loss, Alpha) else ()
    assert torch.equal(type(loss)(*arguments, "minimax").generator(v), -loss.fake_term(v))
    assert torch.equal(type(loss)(*arguments, "non_saturating").generator(v), loss.real_term(v))
    assert torch.equal(loss.generator(v), loss.real_term(v))


def test_the_papers_gan_is_minimax_or_non_saturating():
    real, fake = torch.linspace(-40, 40, 99), torch.linspace(50, -30, 99)
    for ours, original in [(GANDivergence("minimax"), Minimax()), (GANDivergence(), NonSaturating())]:
        assert torch.equal(ours.discriminator(real, fake), original.discriminator(real, fake))
        assert torch.equal(ours.generator(fake), original.generator(fake))


def test_an_alpha_loss_outlasts_softplus():
    """f*(g(v)) = 4 ((3/4 softplus(-v))^(-1/3) - 1) at alpha = 1/4, where softplus(-v) is below the least float32."""
    v = torch.tensor(200.0)
    assert softplus(-v) == 0
    wanted = 200 / 3 - math.log(0.75) / 3 + 2 * LOG2
    assert Alpha(0.25).fake_term(v).log().item() == pytest.approx(wanted, rel=1e-6)


# --- what is refused ------------------------------------------------------------------------------------------------

UNFIT = [Wasserstein(), KL(), PearsonChi2(), TotalVariation(), Alpha(2.0), LeastSquares(b=0.0), Relativistic(Hinge())]


@pytest.mark.parametrize("cls", [Relativistic, RelativisticAverage])
@pytest.mark.parametrize("base", UNFIT, ids=lambda base: type(base).__name__)
def test_relativistic_losses_refuse_an_unfit_base(cls, base):
    wanted = f"^{cls.__name__} needs a base .* bounded below .* {type(base).__name__} isn't: use NonSaturating, .*$"
    with pytest.raises(UserError, match=wanted):
        cls(base)


@pytest.mark.parametrize("base", [LeastSquares(), ReverseKL(), Alpha(0.5)], ids=lambda base: type(base).__name__)
def test_the_average_refuses_a_base_that_is_lopsided(base):
    with pytest.raises(UserError, match=r"^RelativisticAverage needs .* mirror .* with a=-1, b=1$"):
        RelativisticAverage(base)


@pytest.mark.parametrize(("alpha", "instead"), [(0.0, "f_reverse_kl"), (1.0, "f_kl")])
def test_alpha_refuses_its_limits(alpha, instead):
    with pytest.raises(UserError, match=rf"^alpha={alpha:g} is a limit: use \w+ \(loss={instead}\)$"):
        Alpha(alpha)


def test_an_unknown_objective_is_refused():
    with pytest.raises(UserError, match=r"^generator_objective=saturating: set it to minimax or non_saturating$"):
        KL("saturating")
