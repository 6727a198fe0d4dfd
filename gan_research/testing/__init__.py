"""Checks that any regularizer, augmentation or head has to pass, yours too: `check_component(MyPenalty())`."""

from gan_research.testing.checks import check_component

__all__ = ["check_component"]
