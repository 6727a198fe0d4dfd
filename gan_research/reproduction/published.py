"""What a source says comes out of a recipe: its numbers, how they were measured, and when ours count as the same."""

from collections.abc import Mapping
from dataclasses import fields
from inspect import signature
from typing import Any, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from gan_research.config.upgrade import upgraded_protocol
from gan_research.utils.errors import UserError, did_you_mean


@with_config(ConfigDict(extra="forbid"))
class Number(TypedDict, total=False):
    """A published number: its `value`, the `spread` that it came with, and what is taken for the same."""

    value: float
    spread: float
    tolerance: float
    """Ours is the same within so much of the value; where there is none, it is shown and not judged."""


Statistic = Literal["max", "min", "mean", "last", "changes", "distinct"]


@with_config(ConfigDict(extra="forbid"))
class Rule(TypedDict, total=False):
    """A bound on one statistic of a column over the evaluations of one training; each seed is judged by itself."""

    column: str
    statistic: Statistic
    """Of the values at the evaluations; `changes`: how often a value differs from the one before, `distinct`: how many
    different values there are."""
    since: int
    """The round of the first evaluation that counts (0)."""
    at_most: float
    at_least: float
    why: str
    """The source's words that the bound stands for."""


@with_config(ConfigDict(extra="forbid"))
class Source(TypedDict, total=False):
    """Where it is published: a `paper` with its table, or a `repository` at a commit, and what was read there."""

    paper: str
    repository: str
    files: list[str]


class Published:
    """A recipe's claim, the `published` block of a file in conf/experiment.

    claim: in one line, what the source says comes out.
    numbers: column of an evaluation ("modes", "fid") -> the published number.
    spread: what their spread is over, such as "standard error over 10 trials".
    tolerance: why theirs are as they are.
    trajectory: bounds on what a training's evaluations show over its rounds, for claims that a figure makes.
    protocol: the source's way to measure, in words.
    evaluation: fields of `Protocol`, and how they have to be so that ours compare.
    seeds: trainings that the numbers are a mean of.
    source: where it is published.
    network: whether networks and optimiser are those of the source; where it has published none they are "ours".
    differences: what else is known to differ from the source.
    better_than: column -> other recipes, that the source says this one does better than by it.
    diverges: whether it is published to fail.
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
            raise UserError("published.source names neither a paper nor a repository: say where the claim is from")
        if not (numbers or trajectory or better_than or diverges):
            raise UserError("published has no numbers, trajectory, better_than or diverges: say what shall come out")
        for name, number in (numbers or {}).items():
            if "value" not in number:
                raise UserError(f"published.numbers.{name} has no value")
            if "spread" in number and not spread:
                raise UserError(f"published.numbers.{name} has a spread: say in published.spread what it is over")
            if "tolerance" in number and not tolerance:
                raise UserError(f"published.numbers.{name} has a tolerance: say in published.tolerance why")
        for place, rule in enumerate(trajectory or []):
            check_rule(rule, f"published.trajectory[{place}]")
        self.claim, self.source, self.protocol, self.numbers = claim, source, protocol, numbers or {}
        self.trajectory = trajectory or []
        self.spread, self.tolerance, self.evaluation = spread, tolerance, evaluation or {}
        self.seeds, self.network, self.differences = seeds, network, differences or []
        self.better_than, self.diverges = better_than or {}, diverges

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "Published":
        """Return what a config node says. UserError where something is missing, or isn't known."""
        given = {key: value for key, value in node.items() if key != "_target_"}
        known = list(signature(cls).parameters)
        if unknown := [key for key in given if key not in known]:
            raise UserError(f"there is no published.{unknown[0]}: {did_you_mean(unknown[0], known)}")
        if missing := [key for key in ("claim", "source", "protocol") if not given.get(key)]:
            raise UserError(
                f"published has no {missing[0]}: a recipe says what is claimed, by which source, how measured"
            )
        return cls(**given)

    def check(self) -> None:
        """Raise a UserError where it names what no evaluation has; imports the metrics, which takes seconds."""
        from gan_research.metrics.base import METRICS
        from gan_research.metrics.protocol import Protocol

        known = [field.name for field in fields(Protocol)]
        if unknown := [name for name in self.evaluation if name not in known]:
            raise UserError(f"there is no published.evaluation.{unknown[0]}: {did_you_mean(unknown[0], known)}")
        labels = {label for metric in METRICS.values() for label in metric.labels}
        for place, rule in enumerate(self.trajectory):
            if rule["column"] in labels and rule["statistic"] not in ("changes", "distinct"):
                raise UserError(
                    f"published.trajectory[{place}]: {rule['column']} is the number of a class, whose "
                    f"{rule['statistic']} says nothing: choose changes or distinct"
                )

    @property
    def columns(self) -> list[str]:
        """The columns of an evaluation that it is about."""
        return list(dict.fromkeys([*self.numbers, *self.followed, *self.better_than]))

    @property
    def count(self) -> int:
        """How many verdicts there are on it."""
        orders = sum(len(recipes) for recipes in self.better_than.values())
        return len(self.numbers) + len(self.trajectory) + self.diverges + orders

    @property
    def followed(self) -> list[str]:
        """The columns whose values at all evaluations are judged."""
        return list(dict.fromkeys(rule["column"] for rule in self.trajectory))

    @property
    def cited(self) -> str:
        """The source on one line."""
        files = f" ({', '.join(self.source['files'])})" if self.source.get("files") else ""
        return "; ".join(filter(None, (self.source.get("paper"), self.source.get("repository")))) + files


def check_rule(rule: Rule, name: str) -> None:
    """Raise a UserError where a rule leaves open what is judged, by what bound, or why."""
    if missing := [key for key in ("column", "statistic", "why") if not str(rule.get(key, "")).strip()]:
        raise UserError(f"{name} has no {missing[0]}: a rule has column, statistic, at_most or at_least, and why")
    if ("at_most" in rule) == ("at_least" in rule):
        raise UserError(f"{name}: give one of at_most and at_least")


def mismatches(wanted: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    """In what a protocol isn't as it has to be, in words: "num_fake is 1000, not 2500"."""
    known = upgraded_protocol(protocol)
    return [f"{name} is {known.get(name)}, not {value}" for name, value in wanted.items() if known.get(name) != value]
