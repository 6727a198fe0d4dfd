"""Class-conditional games on tables, at the best discriminator: the equilibria of AC, TAC and ADC.

Tables (K, S) contain the joint masses of K classes and S states: p of the data, all positive, and q of the generator,
with the same masses of the classes. G's loss of a fake in each cell is a table, too; G descends its mean over q while D
is held.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Losses = Callable[[Tensor, Tensor], Tensor]
"""(p, q) -> G's loss of a fake in each cell at the best D, (K, S)."""


def adversarial(p: Tensor, q: Tensor) -> Tensor:
    """Return log q(x) / p(x), the loss -logit of a D that sees no classes; its mean is KL(q(x) || p(x))."""
    return (q.sum(0) / p.sum(0)).log().expand_as(p)


def auxiliary_classifier(p: Tensor, q: Tensor) -> Tensor:
    """Return AC's term -log p(y|x) (Odena et al. 2017)."""
    return -posterior(p).log()


def auxiliary_classifier_of_both(p: Tensor, q: Tensor) -> Tensor:
    """Return AC's term if D classifies fakes, too: -log (p + q)(y|x)."""
    return -posterior(p + q).log()


def twin_auxiliary_classifier(p: Tensor, q: Tensor) -> Tensor:
    """Return TAC's term log q(y|x) / p(y|x) (Gong et al. 2019); its mean is KL(q(y|x) || p(y|x))."""
    return posterior(q).log() - posterior(p).log()


def auxiliary_discriminative_classifier(p: Tensor, q: Tensor) -> Tensor:
    """Return ADC's term log q(x, y) / p(x, y) (Hou et al. 2022); its mean is KL(q || p)."""
    return q.log() - p.log()


TERMS: Mapping[str, Losses] = {
    "none": lambda p, q: torch.zeros_like(p),
    "AC": auxiliary_classifier,
    "AC, fakes too": auxiliary_classifier_of_both,
    "TAC": twin_auxiliary_classifier,
    "ADC": auxiliary_discriminative_classifier,
}
"""The terms that a classifier adds to G's loss, by the method's name."""


def posterior(table: Tensor) -> Tensor:
    """Return the probability of each class in each state."""
    return table / table.sum(0)


def force(losses: Tensor, q: Tensor) -> Tensor:
    """Return the gradient of G's mean loss in the logits of q(x|y), D held."""
    means = (q * losses).sum(1, keepdim=True) / q.sum(1, keepdim=True)
    return q * (losses - means)


def equilibrium(p: Tensor, term: Losses, weight: float = 1.0, steps: int = 2000, rate: float = 0.5) -> Tensor:
    """Return the equilibrium q of the loss `adversarial + weight * term`, at the best D.

    Mirror descent from uniform states: q(x|y) is multiplied by exp(-rate * loss) and normalized, `steps` times. It also
    finds an equilibrium at the border, where states have no mass of a class.
    """
    classes = p.sum(1, keepdim=True)
    q = classes.expand_as(p) / p.shape[1]
    for _ in range(steps):
        losses = adversarial(p, q) + weight * term(p, q)
        q = (q.log() - rate * losses).softmax(1).clamp_min(torch.finfo(p.dtype).tiny) * classes
    return q
