"""The adversarial losses: one small class an equation."""

from gan_research.losses.base import AdversarialLoss
from gan_research.losses.hinge import Hinge
from gan_research.losses.least_squares import LeastSquares
from gan_research.losses.minimax import Minimax, NonSaturating
from gan_research.losses.wasserstein import Wasserstein

__all__ = ["AdversarialLoss", "Hinge", "LeastSquares", "Minimax", "NonSaturating", "Wasserstein"]
