"""The verdict on each claim of a recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gan_research.report.protocols import OWN
from gan_research.report.statistics import LEVEL, compare_means
from gan_research.reproduction.origin import comparison_notes, origin_notes
from gan_research.reproduction.published import (
    Rule,
    format_bound,
    format_number,
    format_subject,
    mismatches,
    rule_value,
    within_bound,
)
from gan_research.reproduction.result import Result

Word = Literal["reproduced", "better", "not reproduced", "not comparable"]
RULE = (
    "A number is judged by its mean over training seeds. It is **not comparable** unless all seeds trained the "
    "unchanged recipe for its whole budget and were measured by the source's protocol. It is **reproduced** if the "
    "mean is within the tolerance of the published value, or beyond it on the good side by no more than seed noise; "
    "**better** if the whole 95 % interval is beyond the tolerance on the good side (for one or two seeds: all of "
    "them); **not reproduced** otherwise, and if a seed diverged. A rule about the history of evaluations (such as: "
    "no evaluation finds more than 6 modes) is judged for each seed separately, and reproduced if every seed "
    "satisfies it. A claim that one recipe is better than another, by the same protocol, is reproduced if the 95 % "
    "interval of the difference of their means, from three seeds on, excludes 0, or if all seeds of the other "
    "diverge, but not all of its own; a published failure, if all seeds diverge."
)


@dataclass(frozen=True)
class Verdict:
    """The verdict on one claim.

    what: the column, rule, or "COLUMN, against RECIPE". published, ours: both values as text. reason: why, if it isn't
    obvious. notes: on the origin of the results.
    """

    what: str
    published: str
    ours: str
    word: Word
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


def verdicts(result: Result, others: Mapping[str, Result]) -> list[Verdict]:
    """Return the verdicts on all claims of a recipe. others: recipe -> result at the same budget."""
    claim, notes = result.claim, tuple(origin_notes(result))
    found = []
    for column, number in claim.numbers.items():
        judged = judge_number(result, column)
        found.append(Verdict(column, format_number(number), format_mean(result, column), *judged, notes))
    for rule in claim.trajectory:
        curves = [seed.curves.get(rule["column"], []) for seed in result.finished]
        values = [value for curve in curves if (value := rule_value(rule, curve)) is not None]
        ours = ", ".join(f"{value:.4g}" for value in values)
        judged = judge_rule(result, rule, values)
        found.append(Verdict(format_subject(rule), format_bound(rule), ours, *judged, notes))
    if claim.diverges:
        reason = game_changes(result) or unfinished(result)
        word: Word = "not comparable" if reason else "not reproduced" if result.finished else "reproduced"
        found.append(Verdict("divergence", "diverges", f"{diverged(result)} diverged", word, reason, notes))
    for column, names in claim.better_than.items():
        found += [judge_order(result, column, name, others.get(name)) for name in names]
    return found


def judge_number(result: Result, column: str) -> tuple[Word, str]:
    """Return the verdict on a published number, and its reason."""
    number = result.claim.numbers[column]
    if reason := incomparable(result, column):
        return "not comparable", reason
    if "tolerance" not in number:
        networks = ": the networks aren't the source's" if result.claim.network == "ours" else ""
        return "not comparable", f"no tolerance is given{networks}"
    if len(result.finished) < len(result.seeds):
        return "not reproduced", f"{diverged(result)} diverged"
    sign = 1 if result.better[column] == "max" else -1
    mean = float(np.mean(result.values(column)))
    gain = sign * (mean - number["value"])  # positive: ours is better
    if abs(gain) <= number["tolerance"]:
        return "reproduced", ""
    if gain < 0:
        return "not reproduced", f"off by {-gain:.3g}, more than {number['tolerance']:g}"
    ends = result.interval(column) or result.values(column)
    if min(sign * (end - number["value"]) for end in ends) > number["tolerance"]:
        return "better", f"by {gain:.3g}"
    return "reproduced", f"better by {gain:.3g}, within seed noise"


def judge_rule(result: Result, rule: Rule, values: Sequence[float]) -> tuple[Word, str]:
    """Return the verdict on a rule, and its reason. values: the rule's statistic for each seed, if known."""
    if reason := incomparable(result, rule["column"]):
        return "not comparable", reason
    if len(values) < len(result.finished):
        return "not comparable", f"{rule['column']} isn't measured by one protocol at every evaluation"
    if len(result.finished) < len(result.seeds):
        return "not reproduced", f"{diverged(result)} diverged"
    if violations := sum(not within_bound(rule, value) for value in values):
        return "not reproduced", f"violated by {violations} of {len(values)} seeds"
    return "reproduced", ""


def judge_order(result: Result, column: str, name: str, other: Result | None) -> Verdict:
    """Return the verdict on the claim that a recipe is better than another."""
    what, published = f"{column}, against {name}", "better"
    if other is None:
        return Verdict(what, published, "", "not comparable", f"{name} wasn't run at this budget")
    a, b = result.values(column), other.values(column)
    sign = 1 if result.better.get(column) == "max" else -1
    gain = sign * (float(np.mean(a)) - float(np.mean(b))) if a and b else 0.0
    ends, p = compare_means(a, b)
    differs = p is not None and p < 1 - LEVEL
    ours = f"ahead by {gain:.3g}" + (" [{:.3g}, {:.3g}]".format(*sorted(sign * end for end in ends)) if ends else "")
    if not a or not b:
        ours = f"{diverged(result)} diverged, of the other {diverged(other)}"
    reason = game_changes(result) or unfinished(result) or unfinished(other)
    reason = reason or mixed_protocols(result, column) or mixed_protocols(other, column)
    reason = reason or protocol_difference(result, other, column)
    is_better = differs and gain > 0 if a and b else bool(a)
    word: Word = "not comparable" if reason else "reproduced" if is_better else "not reproduced"
    if word == "not reproduced" and a and b and not differs:
        reason = "within seed noise"
    return Verdict(what, published, ours, word, reason, tuple(comparison_notes(result, other)))


def incomparable(result: Result, column: str) -> str:
    """Return the reason why a column isn't comparable with the published one, or ""."""
    if (reason := game_changes(result) or unfinished(result)) or not result.finished:
        return reason
    if not result.values(column):
        return f"{column} isn't measured"
    wrong = [m for seed in result.finished for m in mismatches(result.claim.evaluation, seed.protocol_of(column))]
    return f"another protocol: {wrong[0]}" if wrong else mixed_protocols(result, column)


def game_changes(result: Result) -> str:
    """Return how the game differs from the recipe's, or ""."""
    if result.rounds < result.paper_rounds:
        return f"{result.rounds:,} of {result.paper_rounds:,} rounds"
    return f"changed: {result.changes[0]}" if result.changes else ""


def unfinished(result: Result) -> str:
    """Return the number of seeds that aren't over as text, or ""."""
    left = sum(not seed.is_over for seed in result.seeds)
    return f"{left} of {len(result.seeds)} seeds of {result.recipe} unfinished" if left else ""


def mixed_protocols(result: Result, column: str) -> str:
    """Return how the protocols of a column differ between seeds, or ""."""
    for seed in result.finished[1:]:
        if wrong := mismatches(result.finished[0].protocol_of(column), seed.protocol_of(column)):
            return f"seeds of {result.recipe} are measured by different protocols: of seed {seed.seed}, {wrong[0]}"
    return ""


def protocol_difference(result: Result, other: Result, column: str) -> str:
    """Return the first difference of two recipes' protocols, or ""; the generator's own fields may differ."""
    for ours, theirs in [(a, b) for a in result.finished[:1] for b in other.finished[:1]]:
        required = {name: value for name, value in theirs.protocol_of(column).items() if name not in OWN}
        if wrong := mismatches(required, ours.protocol_of(column)):
            return f"another protocol than that of {other.recipe}: {wrong[0]}"
    return ""


def diverged(result: Result) -> str:
    return f"{sum(seed.state == 'diverged' for seed in result.seeds)} of {len(result.seeds)} seeds"


def format_mean(result: Result, column: str) -> str:
    """Return the mean over seeds with its interval: "7.3 [6.8, 7.9]"."""
    values: Sequence[float] = result.values(column)
    if not values:
        return ""
    ends = result.interval(column)
    return f"{float(np.mean(values)):.4g}" + (f" [{ends[0]:.4g}, {ends[1]:.4g}]" if ends else "")
