"""The value of the game as a saddle: its stationary point, curvatures and ridge, and training on it."""

import math

import pytest
import torch

from gan_research import losses as L
from gan_research.theory.dirac_dynamics import gradient_steps
from gan_research.theory.optimum import value_of_densities
from gan_research.theory.saddle import Location, find_saddle
from gan_research.training.schedule import Schedule
from gan_research.utils.errors import UserError

LOSSES = {  # the second derivative of V in phi at the equilibrium, by V = V_0 + c (phi^2 / 2 - phi theta) + ...
    "minimax": (L.Minimax(), -1 / 2),
    "non_saturating": (L.NonSaturating(), -1 / 2),
    "least_squares": (L.LeastSquares(), -1 / 8),
    "kl": (L.KL(), -1.0),
    "reverse_kl": (L.ReverseKL(), -1.0),
    "pearson_chi2": (L.PearsonChi2(), -2.0),
    "squared_hellinger": (L.SquaredHellinger(), -1 / 2),
}


def normal(mean):
    return lambda x: torch.distributions.Normal(torch.tensor(mean, dtype=torch.float64), 1.0).log_prob(x)[:, 0]


@pytest.mark.parametrize("name", LOSSES)
def test_the_equilibrium_is_a_saddle(name):
    """The gradient is 0; D's curvature is that of the divergence, negative; G's is 0; the Hessian has both signs."""
    loss, curvature = LOSSES[name]
    found = find_saddle(Location(loss))
    assert found.state.abs().max().item() < 1e-9
    assert found.slope < 1e-12
    assert found.value == pytest.approx(loss.theory().at_equality, abs=1e-9)
    expected = torch.tensor([[0.0, -curvature], [-curvature, curvature]], dtype=torch.float64)
    torch.testing.assert_close(found.hessian, expected, rtol=0, atol=1e-6)
    low, high = found.curvatures
    assert (low, high) == pytest.approx([curvature * (1 + s * math.sqrt(5)) / 2 for s in (1, -1)], abs=1e-6)
    assert low < 0 < high


@pytest.mark.parametrize("mean", [0.0, 0.5, 1.0, 2.0])
def test_the_optimal_discriminator_is_on_the_diagonal_with_the_value_of_theorem_1(mean):
    game = Location(L.Minimax())
    phis = torch.linspace(-2.4, 2.4, 49, dtype=torch.float64)
    states = torch.stack([torch.full_like(phis, mean), phis], -1)
    values = game.value(states)
    assert phis[values.argmax()].item() == pytest.approx(mean, abs=1e-9)
    jsd = value_of_densities(normal(0.0), normal(mean), (-12, 14))[1]
    assert values.max().item() == pytest.approx(2 * jsd - math.log(4), abs=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_the_field_is_that_of_the_value_and_of_the_generators_loss(name):
    loss, _ = LOSSES[name]
    game, step = Location(loss), 1e-5
    state = torch.tensor([0.7, 0.4], dtype=torch.float64)
    across, along = (step * row for row in torch.eye(2, dtype=torch.float64))
    field = game.field(state[None])[0]
    slope = (game.value(state + along) - game.value(state - along)) / (2 * step)
    assert field[1].item() == pytest.approx(slope.item(), abs=1e-6)
    if name == "minimax":  # G descends what D ascends
        slope = (game.value(state + across) - game.value(state - across)) / (2 * step)
        assert field[0].item() == pytest.approx(-slope.item(), abs=1e-6)


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_training_spirals_into_the_saddle_at_the_rate_of_its_eigenvalues(updates):
    """The field (phi, -phi - theta) / 2 has the eigenvalues (-1 +- i sqrt(3)) / 4."""
    start = torch.tensor([[0.02, -0.01]], dtype=torch.float64)
    path = gradient_steps(Location(L.Minimax()), start, 160, Schedule(updates=updates))[:, 0]
    distances = path.norm(dim=1)
    turn = 145  # steps of 0.1 for a turn of 8 pi / sqrt(3)
    assert math.log(distances[turn] / distances[0]) / (0.1 * turn) == pytest.approx(-0.25, abs=0.03)
    assert path[:, 0].min() < 0 < path[:, 0].max()  # around it


@pytest.mark.parametrize("loss", [L.Hinge(), L.TotalVariation()])
def test_a_loss_without_one_best_discriminator_is_told(loss):
    with pytest.raises(UserError, match="no unique D"):
        Location(loss)
