"""Ranges of numbers, as annotations of arguments: configs are checked against them before anything is built."""

from typing import Annotated

from pydantic import Field

Fraction = Annotated[float, Field(ge=0, lt=1)]
"""A float in [0, 1)."""
