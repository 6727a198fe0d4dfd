"""What a source says comes out of a recipe: its numbers, how they were measured, and when ours count as the same."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from pydantic import ConfigDict, with_config
from typing_extensions import TypedDict

from gan_research.metrics.protocol import Protocol
from gan_research.utils.errors import UserError, did_you_mean


@with_config(ConfigDict(extra="forbid"))
class Number(TypedDict, total=False):
    """A published number: its `value`, the `spread` that it came with, and what is taken for the same."""

    value: float
    spread: float
    tolerance: float
    """Ours is the same within so much of the value; where there is none, it is shown and not judged."""


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
        if not numbers and not better_than and not diverges:
            raise UserError("published has no numbers, nor better_than or diverges: say what shall come out")
        known = [field.name for field in fields(Protocol)]
        if unknown := [name for name in evaluation or {} if name not in known]:
            raise UserError(f"there is no published.evaluation.{unknown[0]}: {did_you_mean(unknown[0], known)}")
        for name, number in (numbers or {}).items():
            if "value" not in number:
                raise UserError(f"published.numbers.{name} has no value")
            if "spread" in number and not spread:
                raise UserError(f"published.numbers.{name} has a spread: say in published.spread what it is over")
            if "tolerance" in number and not tolerance:
                raise UserError(f"published.numbers.{name} has a tolerance: say in published.tolerance why")
        self.claim, self.source, self.protocol, self.numbers = claim, source, protocol, numbers or {}
        self.spread, self.tolerance, self.evaluation = spread, tolerance, evaluation or {}
        self.seeds, self.network, self.differences = seeds, network, differences or []
        self.better_than, self.diverges = better_than or {}, diverges

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> "Published":
        """What a config node says."""
        return cls(**{key: value for key, value in node.items() if key != "_target_"})

    @property
    def columns(self) -> list[str]:
        """The columns of an evaluation that it is about."""
        return list(dict.fromkeys([*self.numbers, *self.better_than]))

    @property
    def cited(self) -> str:
        """The source on one line."""
        files = f" ({', '.join(self.source['files'])})" if self.source.get("files") else ""
        return "; ".join(filter(None, (self.source.get("paper"), self.source.get("repository")))) + files


def mismatches(wanted: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    """In what a protocol isn't as it has to be, in words: "num_fake is 1000, not 2500"."""
    return [
        f"{name} is {protocol.get(name)}, not {value}" for name, value in wanted.items() if protocol.get(name) != value
    ]
