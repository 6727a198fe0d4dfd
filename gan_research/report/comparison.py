"""Comparisons of groups of runs at equal budget."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np

from gan_research.report import statistics
from gan_research.report.columns import directions, range_of, ranges
from gan_research.report.curves import Curve, curve
from gan_research.report.final_values import common_budget, final_values, named
from gan_research.report.grouping import group_runs
from gan_research.report.protocols import refuse_mixed, unknown_protocols
from gan_research.report.records import Record
from gan_research.report.settings import configurations, differing_settings, importance_of, varied_settings
from gan_research.report.statistics import Interval
from gan_research.utils.ranges import UNBOUNDED, Range
from gan_research.utils.run_folder import WARNINGS

Groups = Mapping[str, Sequence[Record]]
RULE = "no other group is better by more than seed noise: p < 0.05 (Holm) of a paired or Welch's t-test"
"""The rule of `Comparison.leaders`."""


@dataclass(frozen=True)
class Summary:
    """The values of a group's runs in one metric, and the statistics over them.

    values: run -> its value. std: with n - 1, None for one run. interval: the 95 % interval of the mean over training
    seeds, within the metric's range; None for fewer than 3 runs, or equal values. method: "Student-t", "Student-t on
    the log scale", "Student-t on the logit scale" or "bootstrap"; None without an interval.
    """

    values: dict[str, float]
    mean: float
    median: float
    std: float | None
    interval: Interval | None
    method: str | None


@dataclass(frozen=True)
class Pair:
    """Two groups compared in one metric.

    probability: that a run of a is better than one of b; ties count half.
    difference: the mean of a minus that of b; over the shared seeds if they are paired.
    p_value: of the t-test that it is 0. p_holm: corrected for the number of pairs of the metric. Intervals aren't
    corrected. Intervals and p are None where a group has fewer than 3 runs, or fewer than 3 seeds are shared.
    """

    metric: str
    a: str
    b: str
    probability: float
    interval: Interval | None
    difference: float
    difference_interval: Interval | None
    paired: bool
    p_value: float | None = None
    p_holm: float | None = None

    @property
    def distinguishable(self) -> bool:
        """Return whether the difference is more than seed noise, of all pairs of the metric."""
        return self.p_holm is not None and self.p_holm < 1 - statistics.LEVEL

    def winner(self, better: str) -> str | None:
        """Return the better group; None if they can't be distinguished."""
        first = self.a if (self.difference < 0) == (better == "min") else self.b
        return first if self.distinguishable else None


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`.

    groups: group -> its runs, including those that failed.
    metrics: column without "metrics/" -> "min" or "max", whichever is better.
    position: the position on the axis at which the values are taken.
    summaries: metric -> group -> its summary, for groups with values.
    best_of: metric -> group of several configurations -> the expected best of 1, 2, ... of them.
    differences: setting -> group -> its values, for settings that differ between groups.
    varied: the settings, other than the seed, that vary between runs.
    importance: metric -> varied setting -> its importance; {} if there are too few runs.
    ranges: metric -> its least and largest value. short: the ids of runs that ended before the position.
    warnings: run -> "collapsed", "exploded": what was wrong at the position.
    command: the shell command that makes this comparison. references: metric -> a published number, drawn as a line.
    """

    by: str
    axis: str
    groups: dict[str, list[Record]]
    metrics: dict[str, str]
    position: float
    summaries: dict[str, dict[str, Summary]]
    pairs: list[Pair]
    best_of: dict[str, dict[str, list[float]]]
    differences: dict[str, dict[str, str]]
    varied: list[str]
    importance: dict[str, dict[str, float]]
    failed: list[Record]
    notes: list[str] = field(default_factory=list)
    command: str = ""
    title: str = ""
    references: dict[str, float] = field(default_factory=dict)
    ranges: dict[str, Range] = field(default_factory=dict)
    short: list[str] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        """The runs of all groups."""
        return [record for group in self.groups.values() for record in group]

    @property
    def counted_records(self) -> list[Record]:
        """The runs that have a value of some metric at the position."""
        return [record for record in self.records if record.id in self.warnings]

    def heading(self, metric: str) -> str:
        """Return "fid, lower is better"."""
        return f"{metric}, {'lower' if self.metrics[metric] == 'min' else 'higher'} is better"

    def counted(self, metric: str, group: str) -> str:
        """Return how many of a group's runs have a value, and their warnings: "4 of 5 (1 failed), 1 collapsed"."""
        values = self.values(metric, group)
        missing = Counter(
            record.state if record.state != "finished" else "too short" if record.id in self.short else "without it"
            for record in self.groups[group]
            if record.id not in values
        )
        reasons = ", ".join(f"{count} {reason}" for reason, count in missing.items())
        counted = f"{len(values)} of {len(self.groups[group])} ({reasons})" if missing else str(len(values))
        return ", ".join([counted, *(f"{count} {word}" for word, count in self.warned(metric, group).items())])

    def values(self, metric: str, group: str) -> dict[str, float]:
        """Return run -> its value, of a group's runs that are counted."""
        summary = self.summaries.get(metric, {}).get(group)
        return {} if summary is None else summary.values

    def warned(self, metric: str, group: str) -> dict[str, int]:
        """Return "collapsed", "exploded" -> how many of a group's counted runs were, at the position."""
        return dict(Counter(word for run in self.values(metric, group) for word in self.warnings.get(run, [])))

    def leaders(self, metric: str) -> list[str]:
        """Return the groups than which no other is better by more than seed noise."""
        pairs = [pair for pair in self.pairs if pair.metric == metric and pair.distinguishable]
        losers = {pair.b if pair.winner(self.metrics[metric]) == pair.a else pair.a for pair in pairs}
        return [group for group in self.summaries.get(metric, {}) if group not in losers]

    def best(self, metric: str) -> str | None:
        """Return the only leader; None if there are several, or it is the only group."""
        leaders = self.leaders(metric)
        return leaders[0] if len(leaders) == 1 < len(self.summaries[metric]) else None

    def best_mean(self, metric: str) -> str | None:
        """Return the group with the best mean, the first of equal ones; None if no group has a value."""
        means = {group: summary.mean for group, summary in self.summaries.get(metric, {}).items()}
        return (min if self.metrics.get(metric) == "min" else max)(means, key=means.__getitem__, default=None)

    def main_pairs(self, metric: str, limit: int) -> list[Pair]:
        """Return a metric's pairs; those with the best mean if there are more than `limit`."""
        pairs, best = [pair for pair in self.pairs if pair.metric == metric], self.best_mean(metric)
        return pairs if len(pairs) <= limit else [pair for pair in pairs if best in (pair.a, pair.b)]

    def distinguished(self, metric: str) -> set[tuple[str, str]]:
        """Return the pairs, in both orders, whose means differ by more than seed noise."""
        pairs = [(pair.a, pair.b) for pair in self.pairs if pair.metric == metric and pair.distinguishable]
        return {*pairs, *((b, a) for a, b in pairs)}

    def probabilities(self, metric: str) -> dict[str, dict[str, float]]:
        """Return a -> b -> P(a run of a is better than one of b)."""
        found: dict[str, dict[str, float]] = {group: {} for group in self.summaries.get(metric, {})}
        for pair in (pair for pair in self.pairs if pair.metric == metric):
            found[pair.a][pair.b], found[pair.b][pair.a] = pair.probability, 1 - pair.probability
        return found

    def curves(self, scalar: str, axis: str) -> dict[str, Curve]:
        """Return group -> the curve of a scalar ("metrics/fid", "loss/generator"), for groups that have it."""
        runs = {group: [record.series(scalar, axis) for record in records] for group, records in self.groups.items()}
        range = range_of(scalar, self.ranges)
        return {group: found for group, series in runs.items() if (found := curve(series, axis, range)) is not None}


def compare(
    records: Sequence[Record],
    by: str = "loss",
    metrics: Sequence[str] | None = None,
    axis: str = "round",
    at: float | None = None,
    notes: Sequence[str] = (),
    command: str = "",
) -> Comparison:
    """Compare runs, grouped by the settings `by` ("loss", or "loss,regularizer"), at one position of `axis`.

    metrics: columns that rank generators; None: all. at: the position; None: the last that all finished runs reach,
    short ones left out (`common_budget`).

    Raises a UserError if there is no such setting or metric, or a metric was measured by different protocols.
    """
    groups, group_notes = group_runs(records, by)
    members = [record for group in groups.values() for record in group]
    better = directions(members, metrics)
    refuse_mixed(groups, list(better))
    position, budget_notes = common_budget(members, list(better), axis, at)
    values, short, value_notes = final_values(members, list(better), axis, position)
    counted = {group: [r for r in runs if any(r.id in of for of in values.values())] for group, runs in groups.items()}
    bounds = ranges(members, list(better))
    summaries = {metric: summarize_groups(groups, values[metric], bounds[metric]) for metric in better}
    begun = {group: [record for record in records if record.rows] for group, records in groups.items()}
    varied = varied_settings([record for records in begun.values() for record in records])
    warnings = {r.id: r.warnings_at(axis, position) for runs in counted.values() for r in runs}
    notes = [*notes, *(note for record in records for note in record.notes), *group_notes, *budget_notes, *value_notes]
    notes += [*run_notes(counted, list(better), warnings), *seed_notes(counted, summaries)]
    return Comparison(
        by=by,
        axis=axis,
        groups=groups,
        metrics=better,
        position=position,
        summaries=summaries,
        pairs=[pair for m, own in summaries.items() for pair in compare_pairs(m, better[m], bounds[m], groups, own)],
        best_of={metric: best_of(groups, values[metric], better[metric]) for metric in better},
        differences=differing_settings(begun, by.split(",")),
        varied=varied,
        importance={metric: importance_of(members, values[metric], varied) for metric in better},
        failed=[record for record in records if record.state == "failed"],
        notes=list(dict.fromkeys(notes)),
        command=command,
        ranges=bounds,
        short=[record.id for record in short],
        warnings=warnings,
    )


def summarize_groups(groups: Groups, values: Mapping[str, float], range: Range = UNBOUNDED) -> dict[str, Summary]:
    """Return group -> its summary, for groups with values."""
    found = {}
    for group, records in groups.items():
        if own := {record.id: values[record.id] for record in records if record.id in values}:
            numbers = list(own.values())
            std = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
            interval = statistics.mean_interval(numbers, range)
            method = None if interval is None else statistics.method_of(len(numbers), range)
            mean, median = float(np.mean(numbers)), float(np.median(numbers))
            found[group] = Summary(own, mean, median, std, interval, method)
    return found


def compare_pairs(
    metric: str, better: str, range: Range, groups: Groups, summaries: Mapping[str, Summary]
) -> list[Pair]:
    """Compare all pairs of groups in one metric."""
    pairs = [compare_pair(metric, better, range, a, b, groups, summaries) for a, b in combinations(summaries, 2)]
    tested = [p for pair in pairs if (p := pair.p_value) is not None]
    corrected = iter(statistics.holm(tested))
    return [pair if pair.p_value is None else replace(pair, p_holm=next(corrected)) for pair in pairs]


def compare_pair(
    metric: str, better: str, range: Range, a: str, b: str, groups: Groups, summaries: Mapping[str, Summary]
) -> Pair:
    """Compare two groups, paired by seeds if they share 3 and neither repeats one."""
    xs, ys = list(summaries[a].values.values()), list(summaries[b].values.values())
    runs = ([(r.seed, summaries[g].values[r.id]) for r in groups[g] if r.id in summaries[g].values] for g in (a, b))
    seeds_a, seeds_b = map(dict, runs)
    shared = [seed for seed in seeds_a if seed is not None and seed in seeds_b]
    paired = len(shared) >= statistics.FEWEST and len(seeds_a) == len(xs) and len(seeds_b) == len(ys)
    one, other = ([seeds[seed] for seed in shared] for seeds in (seeds_a, seeds_b)) if paired else (xs, ys)
    interval, p = statistics.compare_means(one, other, paired, range)
    probability = statistics.probability_of_improvement(xs, ys, better)
    improvement = statistics.improvement_interval(xs, ys, better)
    difference = float(np.mean(one) - np.mean(other))
    return Pair(metric, a, b, probability, improvement, difference, interval, paired, p)


def best_of(groups: Groups, values: Mapping[str, float], better: str) -> dict[str, list[float]]:
    """Return group -> the expected best of 1, 2, ... configurations; each is the mean of its seeds."""
    found = {}
    for group, records in groups.items():
        tried = configurations([record for record in records if record.id in values])
        if len(tried) > 1:
            means = [float(np.mean([values[record.id] for record in runs])) for runs in tried]
            found[group] = statistics.expected_best(means, better)
    return found


def run_notes(counted: Groups, metrics: Sequence[str], warnings: Mapping[str, Sequence[str]]) -> list[str]:
    """Return notes on counted runs of unknown protocols, and on those that exploded or collapsed."""
    records = [record for runs in counted.values() for record in runs]
    found = {word: [record for record in records if word in warnings[record.id]] for word in WARNINGS.values()}
    warned = [f"{word} at the position, and counted: {named(runs)}" for word, runs in found.items() if runs]
    return unknown_protocols(records, metrics) + warned


def seed_notes(counted: Groups, summaries: Mapping[str, Mapping[str, Summary]]) -> list[str]:
    """Return notes on groups whose intervals are missing, or aren't over seeds alone."""
    notes = []
    for group, records in counted.items():
        runs = {metric: len(of[group].values) for metric, of in summaries.items() if group in of}
        for count, words in {1: "one seed", 2: "two seeds"}.items():
            if few := [metric for metric, number in runs.items() if number == count]:
                notes.append(f"{words}: no interval or test can be given for {group} ({', '.join(few)})")
        tried = configurations(records)
        if len(tried) > 1:
            notes.append(f"{group} contains {len(tried)} configurations: its interval isn't over seeds alone")
        for equal in tried:
            seeds = Counter(record.seed for record in equal if record.seed is not None)
            if twice := [str(seed) for seed, count in seeds.items() if count > 1]:
                notes.append(f"{group} has equal runs (seed {', '.join(twice)}): its interval is too short")
    return notes
