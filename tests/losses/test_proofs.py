"""Every loss proves its theory: D* and the value by minimising D's expected loss, what G descends by its gradient."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from gan_research.config.build import make
from gan_research.config.compose import choice, groups
from gan_research.losses import (
    FGAN,
    KL,
    AdversarialLoss,
    Alpha,
    GANDivergence,
    Hinge,
    JensenShannon,
    LeastSquares,
    Minimax,
    NonSaturating,
    PearsonChi2,
    Relativistic,
    RelativisticAverage,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
    Wasserstein,
    unproved,
)
from gan_research.losses.divergences import jsd
from gan_research.utils.errors import UserError

OBJECTIVES = ("minimax", "non_saturating")
ALPHAS = (-0.5, 0.5, 1.5, 2.0, 3.0)

# every choice of the registry, and constructor arguments that no choice has
GAMES = {name: make(choice("loss", name)) for name in groups()["loss"]}
GAMES |= {f"least_squares {codes}": LeastSquares(*codes) for codes in [(-1.0, 1.0, 0.0), (0.5, 3.0, -1.0)]}
GAMES |= {f"{c.__name__} minimax": c("minimax") for c in FGAN.__subclasses__() if c is not Alpha}
GAMES |= {"JensenShannon minimax": JensenShannon("minimax")}
GAMES |= {f"alpha {alpha} {objective}": Alpha(alpha, objective) for alpha in ALPHAS for objective in OBJECTIVES}
GAMES |= {
    f"{cls.__name__} over {name}": cls(base)
    for cls, name, base in [
        (Relativistic, "GANDivergence", GANDivergence()),
        (Relativistic, "JensenShannon", JensenShannon()),
        (Relativistic, "least squares of b = 2", LeastSquares(b=2.0)),
        (Relativistic, "ReverseKL", ReverseKL()),
        (Relativistic, "SquaredHellinger", SquaredHellinger()),
        (Relativistic, "Alpha", Alpha(0.5)),
        (RelativisticAverage, "JensenShannon", JensenShannon()),
        (RelativisticAverage, "SquaredHellinger", SquaredHellinger()),
    ]
}
every_game = pytest.mark.parametrize("loss", GAMES.values(), ids=GAMES.keys())


def distributions():
    """Pairs of masses over 5 to 50 states, none below 1e-3; the first nearly even, the others far from it."""
    generator = torch.Generator().manual_seed(0)
    for states, spread in [(20, 0.3), (5, 2.0), (50, 3.0)]:
        draws = torch.randn(2, states, dtype=torch.float64, generator=generator)
        yield (1e-3 + (1 - 1e-3 * states) * (spread * draws).softmax(1)).unbind()


def prove(loss):
    """An AssertionError where the loss's theory is wrong; a UserError where there is none."""
    theory = loss.theory()
    assert theory.kind in PROOFS
    for p, q in distributions():
        PROOFS[theory.kind](loss, theory, p, q)


def prove_closed_form(loss, theory, p, q, minimise):
    """Value, D*, and what G descends, against a numerical minimum of D's expected loss."""
    for q_ in (q, p):
        value, logits = minimise(loss, p, q_)
        assert theory.value(p, q_).item() == pytest.approx(value, rel=0, abs=1e-4)
        best = theory.optimal_logit(p, q_)
        assert -loss.expected("discriminator", best, p, q_).item() == pytest.approx(value, rel=0, abs=1e-4)
        if theory.unique:
            off = logits - best
            assert (off - (off.mean() if theory.kind == "shift" else 0)).abs().max().item() < 1e-3
    equal = torch.full_like(p, theory.logit_at_equality)
    assert -loss.expected("discriminator", equal, p, p).item() == pytest.approx(theory.at_equality, rel=0, abs=1e-9)
    assert theory.divergence(p, p).item() == pytest.approx(0, abs=1e-12)
    assert theory.divergence(p, q).item() > 1e-3
    if theory.descends.name is not None:
        prove_descent(loss, theory, p, q)


def prove_descent(loss, theory, p, q):
    """G's gradient with D* held fixed is that of the functional, for a free p_g = softmax(theta)."""
    theta = q.log().requires_grad_()
    q = theta.softmax(0)
    best = theory.optimal_logit(p, q.detach())
    (got,) = torch.autograd.grad(loss.expected("generator", best, p, q), theta, retain_graph=True)
    (wanted,) = torch.autograd.grad(theory.descends(p, q), theta)
    assert (got - wanted).norm().item() < 1e-8 * wanted.norm().item()


def prove_pointwise(loss, theory, p, q):
    prove_closed_form(loss, theory, p, q, by_bisection)
    densities = (torch.rand(2, 3, 4, dtype=torch.float64) + 0.1).unbind()
    assert theory.optimal_logit(*densities)[1, 2] == theory.optimal_logit(*(d[1, 2] for d in densities))


def prove_shift(loss, theory, p, q):
    prove_closed_form(loss, theory, p, q, by_lbfgs)


def prove_metric(loss, theory, p, q):
    prove_closed_form(loss, theory, p, q, by_linear_program)


def prove_numeric(loss, theory, p, q):
    """Equal logits give `at_equality` for any p and q, so that the value is no less; it is that at p = q alone."""
    equal = -loss.expected("discriminator", torch.full_like(p, theory.logit_at_equality), p, q).item()
    assert equal == pytest.approx(theory.at_equality, rel=0, abs=1e-9)
    assert max(equal, by_lbfgs(loss, p, p)[0]) == pytest.approx(theory.at_equality, rel=0, abs=1e-4)
    assert by_lbfgs(loss, p, q)[0] > theory.at_equality + 1e-2


def prove_nothing(loss, theory, p, q):
    assert theory.reason


PROOFS = {
    "pointwise": prove_pointwise,
    "shift": prove_shift,
    "metric": prove_metric,
    "numeric": prove_numeric,
    "none": prove_nothing,
}


def gradient(loss, logits, p, q):
    """Of D's expected loss in the logits."""
    logits = logits.clone().requires_grad_()
    return torch.autograd.grad(loss.expected("discriminator", logits, p, q), logits)[0]


def by_bisection(loss, p, q):
    """Minus the minimum of a loss that is a sum over states, and the logits there: (value, (S,))."""
    low, high = torch.full_like(p, -14.0), torch.full_like(p, 14.0)
    for _ in range(36):
        middle = (low + high) / 2
        slope = gradient(loss, middle.sinh(), p, q)  # logits up to 600,000, the small ones first
        low, high = torch.where(slope <= 0, middle, low), torch.where(slope >= 0, middle, high)
    return -loss.expected("discriminator", middle.sinh(), p, q).item(), middle.sinh()


def by_lbfgs(loss, p, q):
    """Minus the minimum of D's expected loss, from a random start, and the logits there: (value, (S,))."""
    start = torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(0))
    logits = start.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=200, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        expected = loss.expected("discriminator", logits, p, q)
        expected.backward()
        return expected

    optimizer.step(closure)
    return -closure().item(), logits.detach()


def by_linear_program(loss, p, q):
    """The same of a loss linear in the logits, over those that change by 1 at most from a state to the next."""
    cost = gradient(loss, torch.zeros_like(p), p, q).numpy()
    steps = np.eye(len(p))[1:] - np.eye(len(p))[:-1]
    limits = {"A_ub": np.concatenate([steps, -steps]), "b_ub": np.ones(2 * len(steps))}
    solution = linprog(cost, **limits, bounds=[(0, 0), *[(None, None)] * len(steps)])
    assert solution.success
    return -solution.fun, torch.from_numpy(solution.x)


def test_every_loss_of_the_package_is_proved(finished):
    assert finished == {type(loss) for loss in GAMES.values()}


@every_game
def test_the_loss_proves_its_theory(loss):
    prove(loss)


@every_game
@pytest.mark.parametrize("player", ["discriminator", "generator"])
def test_the_expected_loss_is_the_mean_over_all_pairs(loss, player):
    """Of 3 reals and 4 fakes, each of a state of its own."""
    states = torch.randn(7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = torch.tensor([[4.0] * 3 + [0.0] * 4, [0.0] * 3 + [3.0] * 4], dtype=torch.float64) / 12
    real, fake = torch.cartesian_prod(states[:3], states[3:]).unbind(1)
    pairs = loss.discriminator(real, fake) if player == "discriminator" else loss.generator(fake, real)
    assert loss.expected(player, states, p, q).item() == pytest.approx(pairs.mean().item(), rel=0, abs=1e-12)


@every_game
def test_the_theory_is_named_and_what_it_lacks_is_one_line(loss):
    theory = loss.theory()
    p, q = next(distributions())
    assert theory.kind == "numeric" or theory.divergence.name
    for functional in (theory.divergence, theory.optimal_logit, theory.descends):
        if functional.name is None:
            with pytest.raises(UserError, match=r"^[^\n]{20,}$"):
                functional(p, q)
        else:
            assert functional(p, q).isnan().sum() == 0


# --- what must not pass --------------------------------------------------------------------------------------------


class Swapped(Minimax):
    """Saturates, and claims to descend what non-saturating does."""

    def theory(self):
        return replace(super().theory(), descends=NonSaturating().theory().descends)


class SwappedBack(NonSaturating):
    """Doesn't saturate, and claims to descend what minimax does."""

    def theory(self):
        return replace(super().theory(), descends=Minimax().theory().descends)


class WrongConstant(NonSaturating):
    def theory(self):
        return replace(super().theory(), at_equality=-math.log(2))


class WrongLogit(NonSaturating):
    def theory(self):
        return KL().theory()


class Smoothed(NonSaturating):
    """One-sided label smoothing: D* is no longer p / (p + q)."""

    def real_term(self, logits):
        return 0.9 * super().real_term(logits) + 0.1 * super().real_term(-logits)


class PearsonOfThePaper(LeastSquares):
    """Section 3.2 of Mao et al. has G descend the Pearson chi-squared divergence; D* held fixed it doesn't."""

    def theory(self):
        theory = super().theory()
        return replace(theory, descends=replace(theory.divergence, of=lambda p, q: ((p - q) ** 2 / (p + q)).sum() / 2))


class Undeclared(AdversarialLoss):
    def discriminator(self, real_logits, fake_logits):
        return fake_logits - real_logits


@pytest.mark.parametrize(
    "loss",
    [Swapped(), SwappedBack(), WrongConstant(), WrongLogit(), Smoothed(), PearsonOfThePaper(-1.0, 1.0, 0.0)],
    ids=lambda loss: type(loss).__name__,
)
def test_a_wrong_theory_fails_the_proof(loss):
    with pytest.raises(AssertionError):
        prove(loss)


def test_a_wrong_numeric_theory_fails_the_proof():
    class Wrong(RelativisticAverage):
        def theory(self):
            return replace(super().theory(), at_equality=-math.log(2))

    with pytest.raises(AssertionError):
        prove(Wrong(NonSaturating()))


def test_an_undeclared_theory_fails_the_proof():
    with pytest.raises(
        UserError, match=r"^Undeclared declares no theory: define theory\(\), or let it return unproved"
    ):
        prove(Undeclared())


def test_nothing_is_claimed_without_a_reason():
    class Claimless(Undeclared):
        def theory(self):
            return unproved("its optimum isn't known")

    prove(Claimless())
    with pytest.raises(UserError, match=r"^this loss declares no theory: its optimum isn't known$"):
        Claimless().theory().value(*next(distributions()))


# --- Goodfellow et al. 2014 -----------------------------------------------------------------------------------------

LOG_4 = math.log(4)
goodfellow = pytest.mark.parametrize("loss", [Minimax(), NonSaturating()], ids=["minimax", "non_saturating"])


@goodfellow
def test_the_value_of_the_game_is_2_jsd_minus_log_4_and_minus_log_4_at_equality(loss):
    """Proposition 1 and theorem 1, by minimising the loss numerically."""
    for p, q in distributions():
        value, logits = by_bisection(loss, p, q)
        assert (logits.sigmoid() - p / (p + q)).abs().max().item() < 1e-6
        assert value == pytest.approx(2 * jsd(p, q).item() - LOG_4, rel=0, abs=1e-6)
        value, logits = by_bisection(loss, p, p)
        assert (logits.sigmoid() - 0.5).abs().max().item() < 1e-6
        assert value == pytest.approx(-LOG_4, rel=0, abs=1e-6)


@goodfellow
@pytest.mark.parametrize(
    ("shift", "divergence", "value"),
    [
        (0.0, 0.0, -1.38629436),
        (0.5, 0.03031130, -1.32567176),
        (1.0, 0.11142148, -1.16345140),
        (2.0, 0.33683082, -0.71263272),
        (4.0, 0.63272019, -0.12085397),
    ],
)
def test_two_gaussians_of_unit_variance(loss, shift, divergence, value):
    """N(0, 1) and N(shift, 1) by quadrature; the best discriminator is the linear logit shift^2 / 2 - shift * x."""
    x = torch.linspace(-12, 16, 20001, dtype=torch.float64)
    p, q = (torch.distributions.Normal(mean, 1).log_prob(x).exp() for mean in (0.0, shift))
    logits, step = loss.theory().optimal_logit(p, q), x[1] - x[0]
    assert (logits - (shift**2 / 2 - shift * x)).abs().max().item() < 1e-9
    assert jsd(p * step, q * step).item() == pytest.approx(divergence, rel=0, abs=1e-6)
    assert loss.theory().value(p * step, q * step).item() == pytest.approx(value, rel=0, abs=1e-6)
    expected = (p * loss.real_term(logits) + q * loss.fake_term(logits)).sum() * step
    assert -expected.item() == pytest.approx(value, rel=0, abs=1e-6)


# --- particular losses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "logit", "at_equality"),
    [
        (NonSaturating(), 0.0, -LOG_4),
        (LeastSquares(), 0.5, -0.25),
        (Hinge(), 0.0, -2.0),
        (Wasserstein(), 0.0, 0.0),
        (KL(), 1.0, 0.0),
        (GANDivergence(), 0.0, -LOG_4),
        (JensenShannon(), 0.0, 0.0),
        (TotalVariation(), 0.0, 0.0),
        (PearsonChi2(), 0.0, 0.0),
        (Alpha(0.5), -math.log(math.e**2 - 1), 0.0),
        (Relativistic(NonSaturating()), 0.0, -LOG_4 / 2),
        (Relativistic(LeastSquares(b=2.0)), 0.0, -2.0),
        (RelativisticAverage(NonSaturating()), 0.0, -LOG_4),
        (RelativisticAverage(Hinge()), 0.0, -2.0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, AdversarialLoss) else None,
)
def test_the_game_at_equality(loss, logit, at_equality):
    assert loss.theory().logit_at_equality == pytest.approx(logit, rel=0, abs=1e-9)
    assert loss.theory().at_equality == pytest.approx(at_equality, rel=0, abs=1e-9)


@pytest.mark.parametrize(
    ("loss", "has_potential"),
    [(NonSaturating(), True), (Relativistic(NonSaturating()), True), (Relativistic(LeastSquares()), False)],
    ids=["non_saturating", "rp_gan", "rp_least_squares"],
)
def test_over_least_squares_a_paired_generator_follows_no_gradient(loss, has_potential):
    """A field is a gradient where its Jacobian, in theta with p_g = softmax(theta), is symmetric."""
    p, q = list(distributions())[1]

    def field(theta):
        free = theta.softmax(0)
        best = loss.theory().optimal_logit(p, free).detach()
        expected = loss.expected("generator", best, p, free)
        return torch.autograd.grad(expected, theta, create_graph=True)[0]

    step = 1e-5 * torch.eye(len(q), dtype=q.dtype)
    jacobian = (
        torch.stack([field((q.log() + h).requires_grad_()) - field((q.log() - h).requires_grad_()) for h in step])
        / 2e-5
    )
    curl = (jacobian - jacobian.T).norm().item() / jacobian.norm().item()
    assert (curl < 1e-6) == has_potential
    assert has_potential or curl > 1e-3
