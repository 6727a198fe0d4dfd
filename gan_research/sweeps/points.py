"""What a sweep varies: Hydra's sweep syntax, as axes of a grid or of a search space."""

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
    """One key that a sweep varies.

    key: as an override begins, with its "+" where it has one.
    choices: the values, as they are written in an override; None for an interval.
    low, high: the ends of an interval; `log`: drawn evenly in its logarithm; `integer`: whole numbers only.
    """

    key: str
    choices: tuple[str, ...] | None = None
    low: float = 0
    high: float = 0
    log: bool = False
    integer: bool = False

    @property
    def name(self) -> str:
        """The key in the config."""
        return self.key.lstrip("+")


def split(overrides: Iterable[str]) -> tuple[list[str], list[Axis]]:
    """Overrides that hold for all runs, and the axes: KEY=A,B range(0,5) choice(A,B) interval(0,1) tag(log, ...)."""
    fixed, axes = [], {}
    for text in overrides:
        override = parsed(text)
        if override.is_sweep_override():
            axis = axis_of(override)
            axes[axis.name] = axis
        else:
            fixed.append(text)
    return fixed, list(axes.values())


def parsed(text: str) -> Override:
    try:
        return OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UserError(f"{text} can't be read: {str(error).splitlines()[0]}") from error


def axis_of(override: Override) -> Axis:
    key, sweep = override.get_key_element(), override.value()
    if isinstance(sweep, Glob):
        raise UserError(f"{override.input_line}: glob isn't known here, name the choices: {key}=A,B,C")
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
    """Every combination {key: value}, the last axis the fastest; intervals have no grid."""
    for axis in axes:
        if axis.choices is None:
            raise UserError(f"{axis.name} is an interval, which a grid can't list: give values, or add sweep=optuna")
    keys = [axis.key for axis in axes]
    return [dict(zip(keys, values, strict=True)) for values in product(*(axis.choices or () for axis in axes))]


def examples(axes: list[Axis], most: int = 50) -> list[list[str]]:
    """Points of all of it, seeds apart: each combination, or where they are many each value of each axis once."""
    values: dict[str, tuple[Any, ...]] = {a.key: a.choices or (a.low, a.high) for a in axes if a.name != "seed"}
    if prod(map(len, values.values())) <= most:
        points = [dict(zip(values, point, strict=True)) for point in product(*values.values())]
    else:
        first = {key: choices[0] for key, choices in values.items()}
        points = [first, *(first | {key: value} for key, choices in values.items() for value in choices[1:])]
    seed = [f"{a.key}={a.choices[0]}" for a in axes if a.name == "seed" and a.choices]
    return [[*as_overrides(point), *seed] for point in points]


def as_overrides(point: dict[str, Any]) -> list[str]:
    """A point's Hydra overrides."""
    return [f"{key}={value}" for key, value in point.items()]
