"""Hydra's sweep syntax, as axes of a grid or of a search space."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from gan_research.utils.errors import UserError


@dataclass(frozen=True)
class Axis:
    """A key that a sweep varies.

    key: as in an override, with its "+" if any.
    choices: the values, as in an override; None for an interval.
    low, high: the ends of an interval; `log`: uniform in the logarithm; `integer`: integers only.
    """

    key: str
    choices: tuple[str, ...] | None = None
    low: int | float = 0
    high: int | float = 0
    log: bool = False
    integer: bool = False

    @property
    def name(self) -> str:
        """The key in the config."""
        return self.key.lstrip("+")


def split(overrides: Iterable[str]) -> tuple[list[str], list[Axis]]:
    """Return the overrides that all runs share, and the axes: KEY=A,B range(0,5) interval(0,1) tag(log, ...)."""
    fixed, axes = [], {}
    for text in overrides:
        try:
            override = OverridesParser.create().parse_override(text)
        except HydraException as error:
            raise UserError(f"{text} can't be read: {str(error).splitlines()[0]}") from error
        if override.is_sweep_override():
            axis = axis_of(override)
            axes[axis.name] = axis
        else:
            fixed.append(text)
    return fixed, list(axes.values())


def axis_of(override: Override) -> Axis:
    key, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, Glob):
        raise UserError(f"{override.input_line}: glob is not supported, give the choices: {key}=A,B,C")
    if isinstance(sweep, IntervalSweep):
        low, high = sweep.start, sweep.end
        assert low is not None
        assert high is not None
        log = "log" in sweep.tags
        if not low < high or (log and low <= 0):
            smaller = "smaller positive" if log else "smaller"
            raise UserError(f"{override.input_line}: give an interval from a {smaller} number to a larger one")
        return Axis(key, None, low, high, log, isinstance(low, int) and isinstance(high, int))
    if isinstance(sweep, RangeSweep) and sweep.step == 0:
        raise UserError(f"{override.input_line}: a range needs a step other than 0")
    choices = tuple(dict.fromkeys(override.sweep_string_iterator()))
    if not choices:
        raise UserError(f"{override.input_line} has no value: give at least one")
    return Axis(key, choices)


def grid(axes: list[Axis]) -> list[dict[str, str]]:
    """Return every combination {key: value}; the last axis varies fastest."""
    for axis in axes:
        if axis.choices is None:
            raise UserError(f"{axis.name} is an interval, which a grid can't list: give values, or add sweep=optuna")
    return combinations({axis.key: axis.choices or () for axis in axes})


def combinations(values: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [dict(zip(values, point, strict=True)) for point in product(*values.values())]


def examples(axes: list[Axis], most: int = 50) -> list[list[str]]:
    """Return points with all values: each combination, or if these are many each value once; of seeds the first."""
    values: dict[str, tuple[Any, ...]] = {a.key: a.choices or (a.low, a.high) for a in axes if a.name != "seed"}
    if prod(map(len, values.values())) <= most:
        points = combinations(values)
    else:
        first = {key: choices[0] for key, choices in values.items()}
        points = [first, *(first | {key: value} for key, choices in values.items() for value in choices[1:])]
    seed = [f"{a.key}={a.choices[0]}" for a in axes if a.name == "seed" and a.choices]
    return [[*as_overrides(point), *seed] for point in points]


def as_overrides(point: dict[str, Any]) -> list[str]:
    """Return the Hydra overrides of a point."""
    return [f"{key}={value}" for key, value in point.items()]
