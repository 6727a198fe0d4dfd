"""Whether what came out is what was published."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gan_research.report.protocols import OWN
from gan_research.report.statistics import Interval, welch_interval
from gan_research.reproduction.origin import remarks, remarks_between
from gan_research.reproduction.published import Number, Rule, mismatches
from gan_research.reproduction.result import Result
from gan_research.reproduction.trajectory import bound, found, keeps, subject

Word = Literal["reproduced", "better", "not reproduced", "not comparable"]

RULE = (
    "A number is judged by its mean over training seeds, and only where the recipe was played unchanged, to its whole "
    "budget, by all seeds, and measured by the source's protocol; else it is **not comparable**. It is **reproduced** "
    "where the mean is within the tolerance of the published value, or beyond it on the good side by no more than seed "
    "noise; **better** where the whole 95 % interval is beyond the tolerance on the good side (of one seed: the mean); "
    "**not reproduced** otherwise, and where a seed diverged. A rule about the history of evaluations (such as: at no "
    "evaluation are there more than 6 modes) is judged for each seed by itself, and reproduced where every seed keeps "
    "to it. That one recipe does better than another, by the same "
    "protocol, is reproduced where the 95 % interval of the difference of their means excludes 0, or only the other "
    "diverges with all seeds; a published failure, where all seeds diverge."
)


@dataclass(frozen=True)
class Verdict:
    """One published number, or one order, against ours.

    what: the column, or "COLUMN, against RECIPE". published, ours: in words. reason: why the word, where it isn't
    plain. notes: what has to be said of where the numbers are from.
    """

    what: str
    published: str
    ours: str
    word: Word
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        return f"{self.word}: {self.reason}" if self.reason else self.word


def verdicts(result: Result, others: Mapping[str, Result]) -> list[Verdict]:
    """Return the verdicts on all that a recipe claims. others: recipe -> what came out of it at the same budget."""
    claim = result.claim
    own = [of_number(result, column) for column in claim.numbers]
    own += [of_trajectory(result, rule) for rule in claim.trajectory]
    own += [of_divergence(result)] if claim.diverges else []
    notes = tuple(remarks(result))
    orders = [of_order(result, other, column, others) for column, of in claim.better_than.items() for other in of]
    return [*(replace(verdict, notes=notes) for verdict in own), *orders]


def of_number(result: Result, column: str) -> Verdict:
    number, values = result.claim.numbers[column], result.values(column)
    published, ours = f"{number['value']:g}{spread_told(number)}", in_words(values, result.interval(column))

    def verdict(word: Word, reason: str = "") -> Verdict:
        return Verdict(column, published, ours, word, reason)

    if reason := incomparable(result, column):
        return verdict("not comparable", reason)
    if "tolerance" not in number:
        ours_are = ": the networks aren't the source's" if result.claim.network == "ours" else ""
        return verdict("not comparable", f"no tolerance is given{ours_are}")
    if len(result.finished) < len(result.seeds):
        return verdict("not reproduced", f"{diverged(result)} seeds diverged")
    sign = 1 if result.better[column] == "max" else -1
    gain = sign * (float(np.mean(values)) - number["value"])  # positive: ours is on the good side
    if abs(gain) <= number["tolerance"]:
        return verdict("reproduced")
    if gain < 0:
        return verdict("not reproduced", f"off by {-gain:.3g}, more than {number['tolerance']:g}")
    ends = [sign * (end - number["value"]) for end in result.interval(column) or (float(np.mean(values)),)]
    if min(ends) > number["tolerance"]:
        return verdict("better", f"by {gain:.3g}")
    return verdict("reproduced", f"better by {gain:.3g}, within seed noise")


def of_trajectory(result: Result, rule: Rule) -> Verdict:
    """Return the verdict on a bound that every seed's history of evaluations has to keep."""
    each = [found(rule, seed.curves.get(rule["column"], [])) for seed in result.finished]
    known = [value for value in each if value is not None]

    def verdict(word: Word, reason: str = "") -> Verdict:
        return Verdict(subject(rule), bound(rule), ", ".join(f"{value:.4g}" for value in known), word, reason)

    if reason := incomparable(result, rule["column"]):
        return verdict("not comparable", reason)
    if len(known) < len(each):
        return verdict("not comparable", f"{rule['column']} isn't measured by one protocol at every evaluation")
    if len(result.finished) < len(result.seeds):
        return verdict("not reproduced", f"{diverged(result)} seeds diverged")
    if broken := sum(not keeps(rule, value) for value in known):
        return verdict("not reproduced", f"not so with {broken} of {len(known)} seeds")
    return verdict("reproduced")


def of_divergence(result: Result) -> Verdict:
    what, published, ours = "divergence", "diverges", f"{diverged(result)} seeds diverged"
    if reason := shorter(result) or not_whole(result):
        return Verdict(what, published, ours, "not comparable", reason)
    return Verdict(what, published, ours, "not reproduced" if result.finished else "reproduced")


def of_order(result: Result, name: str, column: str, others: Mapping[str, Result]) -> Verdict:
    what, published = f"{column}, against {name}", "better"
    other = others.get(name)
    if other is None:
        return Verdict(what, published, "", "not comparable", f"{name} wasn't played at this budget")
    a, b = result.values(column), other.values(column)
    sign = 1 if result.better.get(column) == "max" else -1
    gain = sign * (float(np.mean(a)) - float(np.mean(b))) if a and b else 0.0
    low, high = sorted(sign * end for end in welch_interval(a, b) or (-np.inf, np.inf))
    ours = f"ahead by {gain:.3g} [{low:.3g}, {high:.3g}]"
    if not a or not b:
        ours = f"{diverged(result)} diverged, of the other {diverged(other)}"

    def verdict(word: Word, reason: str = "") -> Verdict:
        return Verdict(what, published, ours, word, reason, tuple(remarks_between(result, other)))

    for reason in (
        *(shorter(result), not_whole(result), not_whole(other)),
        *(mixed(result), mixed(other), disagree(result, other)),
    ):
        if reason:
            return verdict("not comparable", reason)
    if not a or not b:
        return verdict("reproduced" if a else "not reproduced")
    if low > 0:
        return verdict("reproduced")
    return verdict("not reproduced", "within seed noise" if high > 0 else "")


def spread_told(number: Number) -> str:
    """Return the published spread: " ± 2"; empty where there is none."""
    return f" ± {number['spread']:g}" if "spread" in number else ""


def incomparable(result: Result, column: str) -> str:
    """Why a number can't be held against the published one; empty where it can."""
    if reason := shorter(result) or not_whole(result):
        return reason
    if not result.finished:
        return ""  # all diverged
    if not result.values(column):
        return f"{column} isn't measured"
    wrong = [m for seed in result.finished for m in mismatches(result.claim.evaluation, seed.protocol)]
    return f"another protocol: {wrong[0]}" if wrong else mixed(result)


def mixed(result: Result) -> str:
    """Return how the protocols of the seeds differ, of which no mean is taken; empty where they are one."""
    for seed in result.finished[1:]:
        if wrong := mismatches(result.finished[0].protocol, seed.protocol):
            return f"seeds of {result.recipe} are measured by different protocols: of seed {seed.seed}, {wrong[0]}"
    return ""


def shorter(result: Result) -> str:
    """In what the game isn't the recipe's."""
    if result.rounds < result.paper_rounds:
        return f"{result.rounds:,} of {result.paper_rounds:,} rounds"
    return f"changed: {result.changes[0]}" if result.changes else ""


def not_whole(result: Result) -> str:
    """How many seeds aren't over yet."""
    left = len(result.unfinished)
    return f"{left} of {len(result.seeds)} seeds of {result.recipe} unfinished" if left else ""


def disagree(result: Result, other: Result) -> str:
    """In what two recipes were measured differently, but for what is the generator's own."""
    for mine, theirs in [(a.protocol, b.protocol) for a in result.finished[:1] for b in other.finished[:1]]:
        wanted = {name: value for name, value in theirs.items() if name not in OWN}
        if wrong := mismatches(wanted, mine):
            return f"another protocol than that of {other.recipe}: {wrong[0]}"
    return ""


def diverged(result: Result) -> str:
    """ "2 of 3"."""
    return f"{sum(seed.state == 'diverged' for seed in result.seeds)} of {len(result.seeds)}"


def in_words(values: list[float], ends: Interval | None) -> str:
    """The mean with its interval: "7.3 [6.8, 7.9]"."""
    if not values:
        return ""
    mean = f"{float(np.mean(values)):.4g}"
    return mean if ends is None else f"{mean} [{ends[0]:.4g}, {ends[1]:.4g}]"
