"""Statistics of a training's history of evaluations, and the bounds that a claim sets on them."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean

from gan_research.reproduction.published import Rule, Statistic

Points = Sequence[Sequence[float]]
"""[round, value] of each evaluation, by rounds."""


STATISTICS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    "max": max,
    "min": min,
    "mean": fmean,
    "last": lambda values: values[-1],
    "changes": lambda values: sum(a != b for a, b in pairwise(values)),
    "distinct": lambda values: len(set(values)),
}


def statistic(name: Statistic, values: Sequence[float]) -> float:
    """Return a statistic of at least one value; `changes` counts values that differ from the one before them."""
    return float(STATISTICS[name](values))


def found(rule: Rule, curve: Points) -> float | None:
    """Return a rule's statistic over the evaluations that count; None where there are none."""
    values = [y for x, y in curve if x >= rule.get("since", 0)]
    return statistic(rule["statistic"], values) if values else None


def keeps(rule: Rule, value: float) -> bool:
    """Return True if the value is within the rule's bound, the bound included."""
    return value <= rule["at_most"] if "at_most" in rule else value >= rule["at_least"]


def subject(rule: Rule) -> str:
    """Return what a rule is about: "modes, max from round 5,000"."""
    since = f" from round {rule['since']:,}" if rule.get("since") else ""
    return f"{rule['column']}, {rule['statistic']}{since}"


def bound(rule: Rule) -> str:
    """Return a rule's bound in words: "at most 6"."""
    return f"at most {rule['at_most']:g}" if "at_most" in rule else f"at least {rule['at_least']:g}"
