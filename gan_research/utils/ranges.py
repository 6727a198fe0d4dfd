"""Ranges of numbers: of arguments, as annotations against which configs are checked, and of metrics."""

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A float in [0, 1)."""

PositiveFraction = Annotated[float, Field(gt=0, le=1)]
"""A float in (0, 1]."""
Probability = Annotated[float, Field(ge=0, le=1)]
"""A float in [0, 1]."""

Range = tuple[float | None, float | None]
"""The least and the largest value that a metric can have; None: unbounded."""

UNBOUNDED: Range = (None, None)
NON_NEGATIVE: Range = (0, None)
SHARE: Range = (0, 1)
