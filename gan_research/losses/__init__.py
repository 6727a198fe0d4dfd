"""Adversarial losses, a small class for each equation, with its theory."""

from gan_research.losses.base import AdversarialLoss, Player, Separable
from gan_research.losses.f_gan import (
    FGAN,
    KL,
    Alpha,
    GANDivergence,
    JensenShannon,
    PearsonChi2,
    ReverseKL,
    SquaredHellinger,
    TotalVariation,
)
from gan_research.losses.hinge import Hinge
from gan_research.losses.least_squares import LeastSquares
from gan_research.losses.minimax import Minimax, NonSaturating
from gan_research.losses.multi_hinge import MultiHinge
from gan_research.losses.relativistic import Relativistic, RelativisticAverage
from gan_research.losses.theory import Functional, Theory, unproved
from gan_research.losses.wasserstein import Wasserstein

__all__ = [
    "FGAN", "KL", "AdversarialLoss", "Alpha", "Functional", "GANDivergence", "Hinge", "JensenShannon", "LeastSquares",
    "Minimax", "MultiHinge", "NonSaturating", "PearsonChi2", "Player", "Relativistic", "RelativisticAverage",
    "ReverseKL", "Separable", "SquaredHellinger", "Theory", "TotalVariation", "Wasserstein", "unproved",
]  # fmt: skip
