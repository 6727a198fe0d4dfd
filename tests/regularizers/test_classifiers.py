"""AC, TAC and ADC: what G gets at the best D on tables, and the roles of the classifiers."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import log_softmax

from gan_research.networks.base import DOutput
from gan_research.regularizers import (
    AuxiliaryClassifier,
    AuxiliaryDiscriminativeClassifier,
    Side,
    TwinAuxiliaryClassifier,
)
from gan_research.theory.conditioning import TERMS

P = torch.tensor([[0.55, 0.3, 0.1, 0.05], [0.05, 0.1, 0.3, 0.55]], dtype=torch.float64) / 2
Q = torch.tensor([[0.1, 0.2, 0.15, 0.05], [0.2, 0.1, 0.05, 0.15]], dtype=torch.float64)
CLASSES, STATES = P.shape
METHODS = {
    "AC": (AuxiliaryClassifier(fakes=False), CLASSES),
    "AC, fakes too": (AuxiliaryClassifier(), CLASSES),
    "TAC": (TwinAuxiliaryClassifier(), CLASSES),
    "ADC": (AuxiliaryDiscriminativeClassifier(), 2 * CLASSES),
}


def expected(regularizer, player, tables, p, q):
    """A player's mean penalty over all pairs of a real and a fake cell; tables: extra -> logits of each state."""
    cells = torch.arange(CLASSES * STATES)
    real, fake = torch.cartesian_prod(cells, cells).unbind(1)
    side = lambda cell: Side(  # noqa: E731
        None, cell // STATES, DOutput(None, None, {name: table[cell % STATES] for name, table in tables.items()})
    )
    sides = {"real": side(real), "fake": side(fake)}
    step = SimpleNamespace(player=player, own_side=sides["real" if player == "discriminator" else "fake"], **sides)
    return regularizer.penalty(step) @ torch.outer(p.flatten(), q.flatten()).flatten()


def best_tables(regularizer, outputs, p, q):
    """The classifiers that minimize D's penalty, as logits of each state."""
    tables = {
        name: torch.zeros(STATES, outputs, dtype=p.dtype, requires_grad=True) for name in regularizer.needs_extras
    }
    optimizer = torch.optim.LBFGS(
        tables.values(), max_iter=300, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = expected(regularizer, "discriminator", tables, p, q)
        loss.backward()
        return loss

    optimizer.step(closure)
    return {name: table.detach() for name, table in tables.items()}


@pytest.mark.parametrize("q", [Q, P], ids=["elsewhere", "at the data"])
@pytest.mark.parametrize("name", METHODS)
def test_what_g_descends_at_the_best_classifier_is_the_theorys(name, q):
    """TAC's and ADC's terms are 0 at the data, in each cell; AC's aren't equal, and push the classes apart."""
    regularizer, outputs = METHODS[name]
    tables, losses = best_tables(regularizer, outputs, P, q), TERMS[name](P, q)
    q = q.clone().requires_grad_()
    value = expected(regularizer, "generator", tables, P, q)
    assert value.item() == pytest.approx((q * losses).sum().item(), abs=1e-7)
    (slope,) = torch.autograd.grad(value, q)
    torch.testing.assert_close(slope, losses, rtol=0, atol=1e-6)
    if torch.equal(q, P):
        assert (losses.abs().max().item() < 1e-12) == (name in ("TAC", "ADC"))


def step_of(player, real_labels, fake_labels, **extras):
    """A step of two reals and two fakes; extras: name -> logits of reals and of fakes."""
    real, fake = (
        Side(None, labels, DOutput(None, None, {name: sides[i] for name, sides in extras.items()}))
        for i, labels in enumerate((real_labels, fake_labels))
    )
    return SimpleNamespace(player=player, real=real, fake=fake, own_side=real if player == "discriminator" else fake)


def logits(seed, outputs=3):
    return torch.randn(2, 2, outputs, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_by_hand_with_other_classes_of_fakes():
    real, fake = torch.tensor([0, 2]), torch.tensor([1, 1])
    main, twin, joint = logits(0), logits(1), logits(2, 6)
    ce = lambda scores, labels: -log_softmax(scores, 1)[torch.arange(2), labels]  # noqa: E731
    tac, adc = TwinAuxiliaryClassifier(), AuxiliaryDiscriminativeClassifier()
    step = lambda player: step_of(  # noqa: E731
        player, real, fake, class_logits=main, twin_logits=twin, joint_logits=joint
    )
    torch.testing.assert_close(tac.penalty(step("discriminator")), ce(main[0], real) + ce(twin[1], fake))
    torch.testing.assert_close(tac.penalty(step("generator")), ce(main[1], fake) - ce(twin[1], fake))
    torch.testing.assert_close(adc.penalty(step("discriminator")), ce(joint[0], 2 * real) + ce(joint[1], 2 * fake + 1))
    torch.testing.assert_close(adc.penalty(step("generator")), ce(joint[1], 2 * fake) - ce(joint[1], 2 * fake + 1))
    ac = AuxiliaryClassifier()
    torch.testing.assert_close(ac.penalty(step("discriminator")), ce(main[0], real) + ce(main[1], fake))


def test_the_twin_learns_from_fakes_and_cancels_only_an_equal_classifier():
    """Fails for a twin head that no loss trains, or that is the main one: public code, where TAC does nothing."""
    labels, tac = torch.tensor([0, 1]), TwinAuxiliaryClassifier()
    main, twin = logits(0).requires_grad_(), logits(1).requires_grad_()
    tac.penalty(step_of("discriminator", labels, labels, class_logits=main, twin_logits=twin)).sum().backward()
    assert main.grad[0].abs().min() > 0  # C learns reals alone, T fakes alone
    assert twin.grad[1].abs().min() > 0
    assert (main.grad[1].abs().max(), twin.grad[0].abs().max()) == (0, 0)
    equal = tac.penalty(step_of("generator", labels, labels, class_logits=main, twin_logits=main))
    assert torch.equal(equal, torch.zeros(2, dtype=torch.float64))
    other = tac.penalty(step_of("generator", labels, labels, class_logits=main, twin_logits=twin))
    assert other.abs().min() > 0.01
    assert math.isfinite(other.sum().item())
