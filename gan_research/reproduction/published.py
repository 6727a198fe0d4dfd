"""The claim of a recipe: published numbers, their protocol, and rules on the course of training."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import signature
from itertools import pairwise
from statistics import fmean
from typing import Any, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from gan_research.config.upgrade import FILE_FIELDS, upgraded_protocol
from gan_research.utils.errors import UserError, did_you_mean

Statistic = Literal["max", "min", "mean", "last", "changes", "distinct"]
STATISTICS: dict[Statistic, Callable[[Sequence[float]], float]] = {
    "max": max,
    "min": min,
    "mean": fmean,
    "last": lambda values: values[-1],
    "changes": lambda values: sum(a != b for a, b in pairwise(values)),
    "distinct": lambda values: len(set(values)),
}  # statistics of a column over evaluations; `changes` counts values that differ from the one before


@with_config(ConfigDict(extra="forbid"))
class Number(TypedDict, total=False):
    """A published number with its spread and the tolerance for ours."""

    value: float
    spread: float
    tolerance: float  # the largest accepted difference from the value; without it, our number is shown and not judged


@with_config(ConfigDict(extra="forbid"))
class Rule(TypedDict, total=False):
    """A bound on a statistic of one column over the evaluations of a run; each seed is judged separately."""

    column: str
    statistic: Statistic
    since: int  # the round of the first evaluation that counts (0)
    at_most: float
    at_least: float
    why: str  # the source's words for the bound


@with_config(ConfigDict(extra="forbid"))
class Source(TypedDict, total=False):
    """The source of a claim: a `paper` with its table, or `files` of a `repository` at a commit."""

    paper: str
    repository: str
    files: list[str]


class Published:
    """A recipe's claim, the `published` block of a file in conf/experiment.

    claim: the claim in one line.
    numbers: column of an evaluation ("modes", "fid") -> the published number.
    spread: the samples of the numbers' spreads, such as "standard error over 10 trials".
    tolerance: the reason for the numbers' tolerances.
    trajectory: bounds on the evaluations of a run, for claims that a figure makes.
    protocol: the source's way to measure, in words.
    evaluation: fields of `Protocol` -> values with which our numbers are comparable.
    seeds: runs over which the numbers are averaged.
    source: where it is published.
    network: "published" if networks and optimizer are the source's, "ours" if the source doesn't publish them.
    differences: other known differences from the source.
    better_than: column -> recipes that are worse by it, according to the source.
    diverges: True if training is published to fail.
    """

    def __init__(
        self,
        claim: str,
        source: Source,
        protocol: str,
        numbers: dict[str, Number] | None = None,
        trajectory: list[Rule] | None = None,
        spread: str | None = None,
        tolerance: str | None = None,
        evaluation: dict[str, Any] | None = None,
        seeds: int = 1,
        network: Literal["published", "ours"] = "published",
        differences: list[str] | None = None,
        better_than: dict[str, list[str]] | None = None,
        diverges: bool = False,
    ):
        if not (source.get("paper") or source.get("repository")):
            raise UserError("published.source names neither a paper nor a repository: give one")
        if not (numbers or trajectory or better_than or diverges):
            raise UserError("published has no numbers, trajectory, better_than or diverges: give what is claimed")
        for name, number in (numbers or {}).items():
            if "value" not in number:
                raise UserError(f"published.numbers.{name} has no value")
            if "spread" in number and not spread:
                raise UserError(f"published.numbers.{name} has a spread: state in published.spread what it is over")
            if "tolerance" in number and not tolerance:
                raise UserError(f"published.numbers.{name} has a tolerance: give the reason in published.tolerance")
        for index, rule in enumerate(trajectory or []):
            check_rule(rule, f"published.trajectory[{index}]")
        self.claim, self.source, self.protocol, self.numbers = claim, source, protocol, numbers or {}
        self.trajectory = trajectory or []
        self.spread, self.tolerance, self.evaluation = spread, tolerance, evaluation or {}
        self.seeds, self.network, self.differences = seeds, network, differences or []
        self.better_than, self.diverges = better_than or {}, diverges

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "Published":
        """Return the claim of a config node; UserError if a field is missing or unknown."""
        arguments = {key: value for key, value in node.items() if key != "_target_"}
        known = list(signature(cls).parameters)
        if unknown := [key for key in arguments if key not in known]:
            raise UserError(f"there is no published.{unknown[0]}: {did_you_mean(unknown[0], known)}")
        if missing := [key for key in ("claim", "source", "protocol") if not arguments.get(key)]:
            raise UserError(f"published has no {missing[0]}: a recipe needs a claim, its source and its protocol")
        return cls(**arguments)

    def check(self) -> None:
        """Raise a UserError for unknown fields of the protocol and meaningless rules; imports the metrics."""
        from gan_research.metrics.base import METRICS
        from gan_research.metrics.protocol import Protocol

        known = [field.name for field in fields(Protocol)]
        if unknown := [name for name in self.evaluation if name not in known]:
            raise UserError(f"there is no published.evaluation.{unknown[0]}: {did_you_mean(unknown[0], known)}")
        labels = {label for metric in METRICS.values() for label in metric.labels}
        for index, rule in enumerate(self.trajectory):
            if rule["column"] in labels and rule["statistic"] not in ("changes", "distinct"):
                meaningless = f"{rule['column']} is the number of a class, whose {rule['statistic']} has no meaning"
                raise UserError(f"published.trajectory[{index}]: {meaningless}: choose changes or distinct")

    @property
    def columns(self) -> list[str]:
        """The columns of an evaluation that the claim is about."""
        return list(dict.fromkeys([*self.numbers, *self.tracked, *self.better_than]))

    @property
    def count(self) -> int:
        """The number of its verdicts."""
        orders = sum(len(recipes) for recipes in self.better_than.values())
        return len(self.numbers) + len(self.trajectory) + self.diverges + orders

    @property
    def tracked(self) -> list[str]:
        """The columns that rules judge over all evaluations."""
        return list(dict.fromkeys(rule["column"] for rule in self.trajectory))

    @property
    def cited(self) -> str:
        files = f" ({', '.join(self.source['files'])})" if self.source.get("files") else ""
        return "; ".join(filter(None, (self.source.get("paper"), self.source.get("repository")))) + files


def check_rule(rule: Rule, name: str) -> None:
    """Raise a UserError if a rule has no column, statistic, reason or single bound."""
    if missing := [key for key in ("column", "statistic", "why") if not str(rule.get(key, "")).strip()]:
        raise UserError(f"{name} has no {missing[0]}: a rule has column, statistic, at_most or at_least, and why")
    if ("at_most" in rule) == ("at_least" in rule):
        raise UserError(f"{name}: give one of at_most and at_least")


def rule_value(rule: Rule, curve: Sequence[Sequence[float]]) -> float | None:
    """Return a rule's statistic over a curve of [round, value]; None if no evaluation counts."""
    values = [y for x, y in curve if x >= rule.get("since", 0)]
    return float(STATISTICS[rule["statistic"]](values)) if values else None


def within_bound(rule: Rule, value: float) -> bool:
    """Return True if the value is within the rule's bound, the bound included."""
    return value <= rule["at_most"] if "at_most" in rule else value >= rule["at_least"]


def format_subject(rule: Rule) -> str:
    """Return the subject of a rule: "modes, max from round 5,000"."""
    since = f" from round {rule['since']:,}" if rule.get("since") else ""
    return f"{rule['column']}, {rule['statistic']}{since}"


def format_bound(rule: Rule) -> str:
    """Return the bound of a rule: "at most 6"."""
    return f"at most {rule['at_most']:g}" if "at_most" in rule else f"at least {rule['at_least']:g}"


def format_number(number: Number) -> str:
    """Return a published number with its spread: "7.3 ± 2"."""
    return f"{number['value']:g}" + (f" ± {number['spread']:g}" if "spread" in number else "")


def mismatches(required: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    """Return the fields of a protocol that differ from the required ones: "num_fake is 1000, not 2500"."""
    known, compared = upgraded_protocol(protocol), {k: v for k, v in required.items() if k not in FILE_FIELDS}
    return [f"{name} is {known.get(name)}, not {value}" for name, value in compared.items() if known.get(name) != value]
