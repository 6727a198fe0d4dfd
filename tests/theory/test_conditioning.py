"""AC, TAC and ADC on tables: what the best D makes of them, by formula and by the code that trains."""

import math

import pytest
import torch

from gan_research.losses.divergences import kl, total_variation
from gan_research.theory.conditioning import TERMS, adversarial, equilibrium, force

STATES = torch.tensor([0.55, 0.3, 0.1, 0.05], dtype=torch.float64)
P = torch.stack([STATES, STATES.flip(0)]) / 2
Q = torch.tensor([[0.1, 0.2, 0.15, 0.05], [0.2, 0.1, 0.05, 0.15]], dtype=torch.float64)


def apart(q):
    return total_variation(P.flatten(), q.flatten()).item()


@pytest.mark.parametrize(
    ("name", "distance"), [("none", None), ("AC", 0.15), ("AC, fakes too", 0.15), ("TAC", 0.0), ("ADC", 0.0)]
)
def test_equilibria_are_the_data_but_for_ac_whose_classes_part(name, distance):
    q = equilibrium(P, TERMS[name])
    torch.testing.assert_close(q.sum(1), P.sum(1))
    if distance is None:  # only the states without their classes
        torch.testing.assert_close(q.sum(0), P.sum(0))
        assert apart(q) == pytest.approx(0.35, abs=1e-9)
    else:
        assert apart(q) == pytest.approx(distance, abs=1e-9)
    if name == "AC":  # each class keeps its likelier states, in the data's proportions
        assert q[0].tolist() == pytest.approx([0.55 / 1.7, 0.3 / 1.7, 0, 0], abs=1e-9)
    at_data = force(adversarial(P, P) + TERMS[name](P, P), P).norm().item()
    assert at_data == pytest.approx({"AC": 0.15943, "AC, fakes too": 0.15943}.get(name, 0.0), abs=1e-5)


def test_mean_terms_are_the_divergences_of_the_papers():
    mean = {name: (Q * term(P, Q)).sum().item() for name, term in TERMS.items()}
    states = kl(Q.sum(0), P.sum(0)).item()
    assert (Q * adversarial(P, Q)).sum().item() == pytest.approx(states, abs=1e-12)
    assert mean["ADC"] == pytest.approx(kl(Q.flatten(), P.flatten()).item(), abs=1e-12)
    assert mean["TAC"] == pytest.approx(mean["ADC"] - states, abs=1e-12)
    alike, split = torch.full((2, 4), 1 / 8), torch.tensor([[0.25, 0.25, 0, 0], [0, 0, 0.25, 0.25]])
    for name in ("TAC", "ADC"):
        assert (split * TERMS[name](alike, split)).nansum().item() == pytest.approx(math.log(2), abs=1e-6)
    right = P * torch.tensor([0.5, 1.0, 1.0, 1.5], dtype=torch.float64)  # other states, the right classes in each
    assert (right * TERMS["TAC"](P, right)).sum().item() == pytest.approx(0, abs=1e-12)
    assert (right * TERMS["ADC"](P, right)).sum().item() > 0.05
