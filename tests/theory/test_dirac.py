"""The Dirac-GAN, compared with closed forms, for every loss and regularizer of the project."""

import cmath
import math
from functools import cache, partial

import pytest
import torch

from gan_research.augmentations import InstanceNoise
from gan_research.config.build import make
from gan_research.config.compose import choice, current_choices
from gan_research.losses import KL, LeastSquares, Minimax, NonSaturating, Wasserstein
from gan_research.regularizers import (
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    Consensus,
    GradientPenalty,
    LabelSmoothing,
    LeCam,
    MaxGP,
    Regularizer,
    WeightClipping,
)
from gan_research.theory.dirac import DiracGAN, Quadrature, eigenvalues
from gan_research.theory.dirac_dynamics import STARTS, flow, gradient_steps, verdict
from gan_research.theory.dirac_table import Tabulated, matrix, table
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError

BARE = {"minimax": Minimax(), "non_saturating": NonSaturating(), "wasserstein": Wasserstein()}
SLOPE = {"minimax": 0.5, "non_saturating": 0.5, "wasserstein": 1.0}
"""f'(0) of these losses."""

STATES = torch.tensor([[0.7, -0.4], [-0.2, 0.9], [1.3, 1.1]], dtype=torch.float64)


def close(values, expected, tolerance=1e-6):
    """Two pairs of eigenvalues, in either order."""
    a, b = values
    c, d = expected
    assert min(max(abs(a - c), abs(b - d)), max(abs(a - d), abs(b - c))) < tolerance


@cache
def bare(name):
    """A game without components, recorded once for all tests."""
    return DiracGAN(BARE[name])


# --- the field ---------------------------------------------------------------------------------------------------

theta, psi = STATES.unbind(1)
real = (theta * psi).sigmoid()
FIELDS = {
    "minimax": (Minimax(), {}, (psi * real, -theta * real)),
    "non_saturating": (NonSaturating(), {}, (psi * (1 - real), -theta * real)),
    "wasserstein": (Wasserstein(), {}, (psi, -theta)),
    "least_squares": (LeastSquares(), {}, (-psi * (theta * psi - 0.5), -theta * (theta * psi + 0.5))),
    "kl": (KL(), {}, (psi, -theta * (theta * psi).exp())),
    "r1": (Wasserstein(), {"r1": R1(3.0)}, (psi, -theta - 3 * psi)),
    "lazy r2": (Wasserstein(), {"r2": R2(3.0, every=16)}, (psi, -theta - 3 * psi)),
    "wgan-gp": (Wasserstein(), {"gp": GradientPenalty(2.0)}, (psi, -theta - 4 * (psi - psi.sign()))),
    "lecam after its start": (
        LeastSquares(),
        {"le": LeCam(0.3, start=1000, debias=True)},
        (-psi * (theta * psi - 0.5), -theta * (1.6 * theta * psi + 0.5)),
    ),
    "approximate r1": (Wasserstein(), {"a": ApproximateR1(3.0)}, (psi, -theta - 3 * psi)),
    "max gp": (Wasserstein(), {"m": MaxGP(2.0)}, (psi, -theta - 4 * psi)),
    "two": (Wasserstein(), {"r1": R1(1.0), "r2": R2(1.0)}, (psi, -theta - 2 * psi)),
    "consensus": (Wasserstein(), {"co": Consensus(2.0)}, (psi - 2 * theta, -theta - 2 * psi)),
    "lecam": (LeastSquares(), {"le": LeCam(0.3)}, (-psi * (theta * psi - 0.5), -theta * (1.6 * theta * psi + 0.5))),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_field_is_that_of_the_closed_form(name):
    loss, regularizers, expected = FIELDS[name]
    field = DiracGAN(loss, regularizers).field(STATES)
    torch.testing.assert_close(field, torch.stack(expected, 1), rtol=0, atol=1e-6)


def test_quadrature_draws_have_exact_moments_and_an_order_for_each_purpose():
    draws = Quadrature(seed=0, position=0, total=200, start=0, stop=200)
    a, b = draws.normal("a", 2), draws.uniform("b", 1)
    assert a.mean().abs() < 1e-12
    torch.testing.assert_close(a.square().mean(0), torch.ones(2, dtype=torch.float64))
    assert b.mean().item() == pytest.approx(0.5)
    assert abs(torch.corrcoef(torch.cat([a, b], 1).T).fill_diagonal_(0)).max() < 0.25
    assert draws.normal("a", 2) is a


# --- eigenvalues -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Minimax(), NonSaturating()])
@pytest.mark.parametrize("penalty", [R1, R2])
@pytest.mark.parametrize(
    ("gamma", "expected"),
    [
        (0.0, (0.5j, -0.5j)),
        (0.3, (-0.15 + 0.4769696j, -0.15 - 0.4769696j)),
        (1.0, (-0.5, -0.5)),
        (2.0, (-0.1339746, -1.8660254)),
    ],
)
def test_the_published_eigenvalues(loss, penalty, gamma, expected):
    """GAN_stability, notebooks/diracgan/gans.py: -gamma/2 +- sqrt(gamma^2/4 - f'(0)^2)."""
    close(DiracGAN(loss, {"penalty": penalty(gamma)}).eigenvalues, expected)


@pytest.mark.parametrize("name", BARE)
def test_eigenvalues_without_and_with_consensus(name):
    """+- i f'(0) (lemma 2.2); consensus adds -weight f'(0)^2."""
    slope = SLOPE[name]
    close(bare(name).eigenvalues, (slope * 1j, -slope * 1j))
    damped = -0.7 * slope**2
    close(DiracGAN(BARE[name], {"c": Consensus(0.7)}).eigenvalues, (damped + slope * 1j, damped - slope * 1j))


@pytest.mark.parametrize("std", [0.1, 0.5, 1.5])
def test_eigenvalues_under_instance_noise(std):
    """Lemma 3.2: f''(0) s^2 +- sqrt(f''(0)^2 s^4 - f'(0)^2), where for minimax f''(0) = -1/4, for wasserstein 0."""
    root = cmath.sqrt(std**4 / 16 - 1 / 4)
    noise = {"noise": InstanceNoise(std)}
    close(DiracGAN(Minimax(), noise).eigenvalues, (-(std**2) / 4 + root, -(std**2) / 4 - root))
    close(DiracGAN(Wasserstein(), noise).eigenvalues, (1j, -1j))


def test_eigenvalues_of_a_matrix():
    torch.manual_seed(0)
    for square in torch.randn(20, 2, 2, dtype=torch.float64):
        close(eigenvalues(square), torch.linalg.eigvals(square).tolist(), 1e-12)
    assert eigenvalues(torch.tensor([[1.0, 1.0], [0.0, 1.0]])) == (1, 1)


class Kinked(Regularizer):
    def penalty(self, step):
        return step.input_gradient("real").relu().square().flatten()


class Tilted(Regularizer):
    def penalty(self, step):
        return step.input_gradient("real").flatten()


def test_where_the_field_has_no_derivative():
    for penalty in (GradientPenalty(3.0), DRAGAN(3.0)):
        game = DiracGAN(Minimax(), {"penalty": penalty})
        assert game.eigenvalues is None
        assert game.rate is None
        assert game.jump == pytest.approx(4 * 3.0, rel=1e-3)  # -2 weight (|psi| - 1) sign(psi), on both sides
        assert game.notes() == ["not differentiable at (0, 0): the field jumps by 12"]
    assert DiracGAN(Minimax(), {"kinked": Kinked()}).notes() == ["not differentiable at (0, 0): the field has a kink"]
    one_sided = DiracGAN(Minimax(), {"penalty": GradientPenalty(3.0, sided="one")})
    close(one_sided.eigenvalues, (0.5j, -0.5j))


def test_a_pair_that_is_not_at_rest_at_the_equilibrium_is_said_so():
    game = DiracGAN(Minimax(), {"tilted": Tilted(0.2)})
    assert not game.at_rest
    assert game.notes() == ["(0, 0) is no equilibrium"]
    assert bare("minimax").notes() == []


def test_the_users_regularizers_are_left_alone_and_refusals_passed_on():
    lecam = LeCam()
    game = DiracGAN(LeastSquares(), {"lecam": lecam})
    assert lecam.alpha_real.item() == 0
    assert lecam.alpha_real.dtype == torch.float32
    assert game.at_rest
    with pytest.raises(UserError, match="log-odds"):
        DiracGAN(Wasserstein(), {"smooth": LabelSmoothing()})


# --- flow and play -----------------------------------------------------------------------------------------------

START = torch.tensor([[0.6, -0.3]], dtype=torch.float64)


def test_the_flow_of_wasserstein_turns_on_a_circle_and_that_of_minimax_keeps_its_distance():
    path = flow(bare("wasserstein"), START, time=5.0)
    assert path.shape == (51, 1, 2)
    cos, sin = math.cos(5.0), math.sin(5.0)
    torch.testing.assert_close(
        path[-1, 0], torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64) @ START[0], rtol=0, atol=1e-5
    )
    distances = flow(bare("minimax"), START, time=10.0).norm(dim=-1)
    assert (distances / distances[0] - 1).abs().max() < 1e-6


def test_the_flow_of_non_saturating_converges_sublinearly():
    """Averaged over a turn, d(r^2)/dt = -r^4 / 8, so that 1/r^2 grows by time / 8: no exponential."""
    start = torch.tensor([[[0.3, 0.0]]], dtype=torch.float64)
    distances = flow(Tabulated([bare("non_saturating")]), start, time=200.0)[:, 0, 0].norm(dim=-1)
    for time in (100, 200):
        assert distances[10 * time].item() == pytest.approx((1 / 0.09 + time / 8) ** -0.5, rel=0.02)


def test_simultaneous_steps_of_wasserstein_spiral_out_and_alternating_ones_do_not():
    game, h = bare("wasserstein"), 0.1
    out = gradient_steps(game, START, 60, Schedule(updates="simultaneous"))
    torch.testing.assert_close(out.norm(dim=-1)[-1], START.norm(dim=-1) * (1 + h**2) ** 30)
    x, y = gradient_steps(game, START, 60).unbind(-1)
    kept = x.square() + y.square() - h * x * y  # what the leapfrog conserves
    torch.testing.assert_close(kept, kept[:1].expand_as(kept))


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_step_rate_is_that_of_the_steps(updates):
    game = DiracGAN(Wasserstein(), {"r1": R1(1.0)})
    schedule = Schedule(discriminator_steps=2, updates=updates)
    round = gradient_steps(game, torch.eye(2), 1, schedule)[1]
    largest = torch.linalg.eigvals(round).abs().max().item()
    assert game.step_rate(schedule, 0.1) == pytest.approx(math.log(largest) / 0.1, abs=1e-9)


def test_gradient_steps_are_those_of_networks_losses_and_optimizers():
    """k = 2, Adam: against two layers trained by hand."""
    factory = partial(torch.optim.Adam, lr=0.05, betas=(0.5, 0.9))
    theta, psi = (torch.nn.Parameter(START[0, i].clone()) for i in range(2))
    d, g = factory([psi]), factory([theta])
    expected = []
    for _ in range(6):
        for _ in range(2):
            loss = math.log(2) + torch.nn.functional.softplus(theta.detach() * psi) + 0.5 * psi**2
            d.zero_grad()
            loss.backward()
            d.step()
        loss = torch.nn.functional.softplus(-theta * psi.detach())
        g.zero_grad()
        loss.backward()
        g.step()
        expected.append(torch.stack([theta, psi]).detach())
    game = DiracGAN(NonSaturating(), {"r1": R1(1.0)})
    path = gradient_steps(game, START, 6, Schedule(discriminator_steps=2), factory, factory)
    torch.testing.assert_close(path[1:, 0], torch.stack(expected))


def test_weight_clipping_projects_psi_in_play_and_in_the_flow():
    game = DiracGAN(KL(), {"clip": WeightClipping(0.2)})  # D's constant, 1, is no weight
    assert list(game.projections) == ["clip"]
    assert game.notes() == ["clip has no field of its own: it projects after each step"]
    for path in (gradient_steps(game, START, 20), flow(game, START, time=2.0)):
        assert path[1:, 0, 1].abs().max().item() == pytest.approx(0.2)
    torch.testing.assert_close(game.field(STATES), DiracGAN(KL()).field(STATES))


def test_a_tabulated_field_gives_the_same_paths():
    games = [
        DiracGAN(Minimax(), {"r1": R1(0.3)}),
        DiracGAN(KL()),
        DiracGAN(Wasserstein(), {"clip": WeightClipping(0.3)}),
    ]
    together, starts = Tabulated(games), torch.tensor(STARTS, dtype=torch.float64)
    paths = flow(together, starts.expand(3, -1, -1), time=5.0)
    for number, game in enumerate(games):
        torch.testing.assert_close(paths[:, number], flow(game, starts, time=5.0), rtol=0, atol=1e-4)
    assert (together.field(torch.full((3, 1, 2), 40.0, dtype=torch.float64)) == 0).all()


# --- verdicts ----------------------------------------------------------------------------------------------------

t = torch.linspace(0, 50, 501, dtype=torch.float64)[:, None] * torch.ones(2, dtype=torch.float64)


@pytest.mark.parametrize(
    ("radii", "rate", "expected"),
    [
        (torch.exp(-t), -1.0, "converges"),
        (torch.exp(-t), None, "converges"),
        (torch.exp(-t / 500), -0.002, "converges"),
        ((1 + t / 8) ** -0.5, 0.0, "converges sublinearly"),
        (1 + 0.05 * torch.sin(3 * t), 0.0, "cycles"),
        (torch.exp(t / 100), 0.01, "diverges"),
        (torch.exp(t), None, "diverges"),
        (1 + 0.05 * torch.sin(3 * t), 0.01, "cycles"),
        (1 + t / 10, None, "cycles"),
        (torch.where(t < 20, t, math.nan), 0.0, "diverges"),
    ],
)
def test_verdicts(radii, rate, expected):
    assert verdict(radii, rate) == expected


class Stacked:
    """Games of closed fields, stepped together: states (games, starts, 2)."""

    stiffness = 1.0

    def __init__(self, *names):
        self.names = names

    def field(self, states):
        theta, psi = states.unbind(-1)
        push = (theta * psi).sigmoid()
        fields = {
            "minimax": (psi * push, -theta * push),
            "non_saturating": (psi * (1 - push), -theta * push),
            "wasserstein": (psi, -theta),
            "r1": (psi * push, -theta * push - psi),
            "gradient_penalty": (psi, -theta - 2 * (psi - psi.sign())),
        }
        return torch.stack([torch.stack(fields[name], -1)[number] for number, name in enumerate(self.names)])

    def after_step(self, player, states):
        return states


def rate_of_steps(eigenvalue, updates, lr=0.1):
    """Growth a unit of time by the eigenvalue of the flow, for pure rotation: |1 + i w h| or 1."""
    if eigenvalue is None or eigenvalue.real:
        return None if eigenvalue is None else eigenvalue.real
    return math.log(abs(1 + lr * eigenvalue)) / lr if updates == "simultaneous" else 0.0


LONG = {  # eigenvalue, and the verdicts on simultaneous and on alternating steps
    "minimax": (0.5j, "diverges", "cycles"),
    "non_saturating": (0.5j, "cycles", "converges sublinearly"),
    "wasserstein": (1j, "diverges", "cycles"),
    "r1": (-0.5 + 0j, "converges", "converges"),
    "gradient_penalty": (None, "cycles", "cycles"),
}


@pytest.mark.parametrize(("place", "updates"), [(1, "simultaneous"), (2, "alternating")])
def test_a_verdict_holds_for_four_times_as_long(place, updates):
    """What 500 steps are judged to do, 2,000 do: they end at 0, stay between two radii, or grow on and on."""
    starts = torch.tensor(STARTS, dtype=torch.float64).expand(len(LONG), -1, -1)
    path = gradient_steps(Stacked(*LONG), starts, 2000, Schedule(updates=updates))
    for (name, known), radii in zip(LONG.items(), path.norm(dim=-1).unbind(1), strict=True):
        assert verdict(radii[:501], rate_of_steps(known[0], updates)) == known[place], name
        early, late = radii[250:501], radii[1500:]
        if known[place] == "converges":
            assert late.max() < 1e-6
        elif known[place] == "converges sublinearly":
            assert (late.amax(0) < 0.99 * early.amin(0)).all()
            assert late.min() > 0.02  # slower than any exponential
        elif known[place] == "cycles":
            assert late.min() > 0.05
            assert late.max() < 1.01 * radii[:501].max()
        else:
            assert (radii.diff(dim=0) >= -1e-12).all()  # r^2 grows by lr^2 |v|^2 each step, as v is orthogonal
            assert (late.amax(0) > 1.3 * early.amax(0)).all()


KNOWN = {  # flow, simultaneous and alternating steps
    ("minimax", "none"): ("cycles", "diverges", "cycles"),
    ("non_saturating", "none"): ("converges sublinearly", "cycles", "converges sublinearly"),
    ("wasserstein", "none"): ("cycles", "diverges", "cycles"),
    **{(loss, name): ("converges",) * 3 for loss in BARE for name in ("r1", "r2", "consensus")},
    **{(loss, name): ("cycles",) * 3 for loss in BARE for name in ("wgan_gp", "dragan")},
    ("minimax", "noise"): ("converges",) * 3,
    ("non_saturating", "noise"): ("converges",) * 3,
    ("wasserstein", "noise"): ("cycles", "diverges", "cycles"),
    **{(loss, "clipping"): ("cycles",) * 3 for loss in ("minimax", "wasserstein")},
    ("non_saturating", "clipping"): ("converges sublinearly", "cycles", "converges sublinearly"),
    ("minimax", "smoothing"): ("cycles", "diverges", "cycles"),
    ("non_saturating", "smoothing"): ("converges sublinearly", "cycles", "converges sublinearly"),
    ("wasserstein", "smoothing"): ("refused",) * 3,
}


def test_the_table():
    rows = table(
        BARE,
        {
            "none": {},
            "r1": {"r1": R1(1.0)},
            "r2": {"r2": R2(1.0)},
            "consensus": {"consensus": Consensus(1.0)},
            "wgan_gp": {"gp": GradientPenalty(1.0)},
            "dragan": {"dragan": DRAGAN(1.0)},
            "noise": {"noise": InstanceNoise(0.7)},
            "clipping": {"clipping": WeightClipping(0.1)},
            "smoothing": {"smoothing": LabelSmoothing()},
        },
    )
    assert [(row.loss, row.regularizer) for row in rows[:2]] == [("minimax", "none"), ("minimax", "r1")]
    assert {(r.loss, r.regularizer): (r.flow, r.simultaneous, r.alternating) for r in rows} == KNOWN
    for row in rows:
        assert (row.radii is None) == (row.flow == "refused")
        assert row.radii is None or all(0 <= r <= 30 for r in row.radii)
    lines = matrix(rows).splitlines()
    assert lines[:3] == ["                none", "                |   r1", "                |   |   r2"]
    assert "minimax         odo ccc ccc ccc ooo ooo ccc ooo odo" in lines
    assert "wasserstein     odo ccc ccc ccc ooo ooo odo ooo ---" in lines
    wasserstein = next(row for row in rows if (row.loss, row.regularizer) == ("wasserstein", "none"))
    assert wasserstein.radii == pytest.approx((1, 1.01**250, 1), rel=0.03)


# --- every pair of the project -----------------------------------------------------------------------------------


@cache
def losses():
    made = {name: make(choice("loss", name)) for name in current_choices("loss")}
    return {name: loss for name, loss in made.items() if not loss.needs_extras}


COMPONENTS = [("regularizer", name) for name in current_choices("regularizer")]
COMPONENTS += [("augment", name) for name in current_choices("augment") if name != "none"]
FEW = ("non_saturating", "rp_least_squares")
"""A loss of log-odds, and one of other logits that takes reals in G's loss."""
REFUSED = {"cr", "bcr", "diffaugment", "ada", "cutout", "path_length"}
"""They transform images, or need a mapping of latents, which a Dirac-GAN doesn't have."""


def studied(group, name, among):
    """Test the recorded field at other states and the Jacobian; return the number of losses that aren't refused."""
    components = {name: node} if (node := make(choice(group, name))) is not None else {}
    count = 0
    for loss in among:
        try:
            game = DiracGAN(losses()[loss], components, nodes=16)
        except UserError:
            continue
        count += 1
        torch.testing.assert_close(game.field(STATES[:2]), torch.stack([game._field_at(state) for state in STATES[:2]]))
        assert game.at_rest
        if game.differentiable:
            step = 1e-4 * torch.eye(2, dtype=torch.float64)
            differences = (game.field(step) - game.field(-step)) / 2e-4
            torch.testing.assert_close(game.jacobian, differences.T, rtol=1e-5, atol=1e-5)
        else:
            assert game.jump > 1
    return count


def accepted(group, name, log_odds, count):
    """Return the number of losses that go with a component: none if it needs a head with extras, or is refused."""
    if name in REFUSED or getattr(make(choice(group, name)), "needs_extras", ()):
        return 0
    return {"label_smoothing": log_odds}.get(name, count)


@pytest.mark.parametrize(("group", "name"), COMPONENTS)
def test_every_component_can_be_studied(group, name):
    among = losses() if name == "none" else FEW
    assert studied(group, name, among) == accepted(group, name, 1, len(among))


@pytest.mark.long
@pytest.mark.parametrize(("group", "name"), COMPONENTS)
def test_every_loss_goes_with_every_component(group, name):
    assert studied(group, name, losses()) == accepted(group, name, 4, len(losses()))


class Branching(Regularizer):
    def penalty(self, step):
        logits = step.real.out.logits
        return logits if logits.sum() > 0 else -logits


def test_a_component_that_branches_on_values_is_refused():
    with pytest.raises(UserError, match=r"NonSaturating, branching can't be studied, .* torch.where"):
        DiracGAN(NonSaturating(), {"branching": Branching()})
