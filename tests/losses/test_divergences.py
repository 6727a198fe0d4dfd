"""The divergences against numbers worked out by hand, and where masses vanish."""

import math

import pytest
import torch

from gan_research.losses.divergences import (
    alpha_divergence,
    jsd,
    kl,
    pearson_chi2,
    squared_hellinger,
    total_variation,
    triangular,
    wasserstein_1d,
)

LOG2, LOG3 = math.log(2), math.log(3)

# name: (function, value at p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4); where p = (1, 0), q = (0, 1); (1/2, 1/2), (1, 0))
DIVERGENCES = {
    "kl": (kl, LOG2 / 4, math.inf, math.inf),
    "jsd": (jsd, 0.75 * (LOG2 - LOG3) + LOG2 / 2, LOG2, 0.75 * math.log(4 / 3)),
    "total_variation": (total_variation, 0.25, 1.0, 0.5),
    "pearson_chi2": (pearson_chi2, 0.375, math.inf, math.inf),
    "squared_hellinger": (squared_hellinger, 1.5 - math.sqrt(2), 2.0, 2 - math.sqrt(2)),
    "triangular": (triangular, 1 / 6, 2.0, 2 / 3),
    "alpha = -0.5": (
        lambda p, q: alpha_divergence(p, q, -0.5),
        (5 * math.sqrt(2) - 6) / 6,
        math.inf,
        (math.sqrt(2) - 1) / 0.75,
    ),
    "alpha = 0": (lambda p, q: alpha_divergence(p, q, 0), LOG2 / 4, math.inf, LOG2),
    "alpha = 0.5": (lambda p, q: alpha_divergence(p, q, 0.5), 3 - math.sqrt(8), 4.0, 4 - math.sqrt(8)),
    "alpha = 1": (lambda p, q: alpha_divergence(p, q, 1), LOG2 / 4, math.inf, math.inf),
    "alpha = 2": (lambda p, q: alpha_divergence(p, q, 2), 0.1875, math.inf, math.inf),
    "wasserstein_1d": (wasserstein_1d, 0.25, 1.0, 0.5),
}
family = pytest.mark.parametrize(
    ("divergence", "golden", "disjoint", "half"), DIVERGENCES.values(), ids=DIVERGENCES.keys()
)
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@family
@dtypes
def test_golden_values(divergence, golden, disjoint, half, dtype):
    for p, q, wanted in [
        ([0.5, 0.25, 0.25], [0.25, 0.5, 0.25], golden),
        ([1.0, 0.0], [0.0, 1.0], disjoint),
        ([0.5, 0.5], [1.0, 0.0], half),
        ([0.3, 0.7], [0.3, 0.7], 0.0),
    ]:
        value = divergence(torch.tensor(p, dtype=dtype), torch.tensor(q, dtype=dtype))
        assert value.dtype == dtype
        assert value.shape == ()
        assert value.item() == pytest.approx(wanted, rel=0, abs=1e-6)


@family
@dtypes
@pytest.mark.parametrize("tiny", [0.0, 5e-324, 1e-40, 1e-30])
def test_states_without_mass_change_nothing(divergence, golden, disjoint, half, dtype, tiny):
    """`tiny` is 0, a subnormal number or close to one, in float32 or float64."""
    p = torch.tensor([0.5, tiny, 0.25, 0.25], dtype=dtype, requires_grad=True)
    q = torch.tensor([0.25, tiny, 0.5, 0.25], dtype=dtype, requires_grad=True)
    value = divergence(p, q)
    assert value.item() == pytest.approx(golden + 0.25 * (divergence is wasserstein_1d), rel=0, abs=1e-6)
    assert all(not g.isnan().any() for g in torch.autograd.grad(value, (p, q)))


def test_one_sided_underflow_is_finite_where_the_divergence_is():
    p, q = torch.tensor([1.0, 1e-45]), torch.tensor([1.0, 0.0])
    assert jsd(p, q).item() == pytest.approx(0.0, abs=1e-6)
    assert kl(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1e-39])).item() == pytest.approx(44.2078, rel=1e-4)


@family
def test_gradients(divergence, golden, disjoint, half):
    p, q = torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(1).unbind()
    assert torch.autograd.gradcheck(divergence, (p.clone().requires_grad_(), q.clone().requires_grad_()))


def test_the_distance_of_a_shift_is_the_shift():
    p, q = torch.zeros(2, 100, dtype=torch.float64)
    p[10], q[35] = 1, 1
    assert wasserstein_1d(p, q, spacing=0.1).item() == pytest.approx(2.5, abs=1e-12)
