"""Comparisons of groups of runs at equal budget."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Literal

import numpy as np
from scipy import stats

from gan_research.report import statistics
from gan_research.report.curves import Curve, curve
from gan_research.report.final_values import common_budget, final_values, named
from gan_research.report.grouping import directions, group_runs
from gan_research.report.protocols import refuse_mixed, unknown_protocols
from gan_research.report.records import Record
from gan_research.report.settings import configurations, differing_settings, importance_of, varied_settings
from gan_research.report.statistics import Interval
from gan_research.utils.run_folder import WARNINGS

Groups = Mapping[str, Sequence[Record]]
Method = Literal["Student-t", "bootstrap"]


@dataclass(frozen=True)
class Summary:
    """The values of a group's runs in one metric, and the statistics over them.

    values: run -> its value. std: with n - 1. interval: the 95 % interval of the mean over training seeds.
    std, interval, method: None for one run.
    """

    values: dict[str, float]
    mean: float
    median: float
    std: float | None
    interval: Interval | None
    method: Method | None


@dataclass(frozen=True)
class Pair:
    """Two groups compared in one metric.

    probability: that a run of a is better than one of b; ties count half.
    difference: the mean of a minus that of b; over the shared seeds if they are paired.
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
    warnings: dict[str, list[str]] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        """The runs of all groups."""
        return [record for group in self.groups.values() for record in group]

    def heading(self, metric: str) -> str:
        """Return "fid, lower is better"."""
        return f"{metric}, {'lower' if self.metrics[metric] == 'min' else 'higher'} is better"

    def counted(self, metric: str, group: str) -> str:
        """Return how many of a group's runs have a value, and their warnings: "4 of 5 (1 failed), 1 collapsed"."""
        values = self.values(metric, group)
        missing = Counter(record.state for record in self.groups[group] if record.id not in values)
        reasons = [f"{count} {'without it' if state == 'finished' else state}" for state, count in missing.items()]
        counted = f"{len(values)} of {len(self.groups[group])} ({', '.join(reasons)})" if missing else str(len(values))
        return ", ".join([counted, *(f"{count} {word}" for word, count in self.warned(metric, group).items())])

    def best(self, metric: str) -> str | None:
        """Return the group that is better than all others; None if it is the only one, or several are tied."""
        leaders = self.leaders(metric)
        return leaders[0] if len(leaders) == 1 and len(self.summaries[metric]) > 1 else None

    def leaders(self, metric: str) -> list[str]:
        """Return the groups than which no other is better by more than seed noise."""
        pairs = [pair for pair in self.pairs if pair.metric == metric and pair.distinguishable]
        losers = {pair.b if pair.winner(self.metrics[metric]) == pair.a else pair.a for pair in pairs}
        return [group for group in self.summaries.get(metric, {}) if group not in losers]

    def best_mean(self, metric: str) -> str | None:
        """Return the group with the best mean, the first of equal ones; None if no group has a value."""
        means = {group: summary.mean for group, summary in self.summaries.get(metric, {}).items()}
        return (min if self.metrics.get(metric) == "min" else max)(means, key=means.__getitem__, default=None)

    def values(self, metric: str, group: str) -> dict[str, float]:
        """Return run -> its value, of a group's runs that are counted."""
        summary = self.summaries.get(metric, {}).get(group)
        return {} if summary is None else summary.values

    def warned(self, metric: str, group: str) -> dict[str, int]:
        """Return "collapsed", "exploded" -> the number of the group's counted runs with that warning."""
        return dict(Counter(word for run in self.values(metric, group) for word in self.warnings.get(run, [])))

    def main_pairs(self, metric: str, limit: int) -> list[Pair]:
        """Return a metric's pairs; those with the best mean if there are more than `limit`."""
        pairs, best = [pair for pair in self.pairs if pair.metric == metric], self.best_mean(metric)
        return pairs if len(pairs) <= limit else [pair for pair in pairs if best in (pair.a, pair.b)]

    def curves(self, scalar: str, axis: str) -> dict[str, Curve]:
        """Return group -> the curve of a scalar ("metrics/fid", "loss/generator"), for groups that have it."""
        runs = {group: [record.series(scalar, axis) for record in records] for group, records in self.groups.items()}
        return {group: found for group, series in runs.items() if (found := curve(series, axis)) is not None}


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

    metrics: columns that rank generators; None: all. at: the position; None: the last that all finished runs reach.

    Raises a UserError if there is no such setting or metric, or a metric was measured by different protocols.
    """
    groups, group_notes = group_runs(records, by)
    group_notes += warning_notes(records)
    members = [record for group in groups.values() for record in group]
    better = directions(members, metrics)
    refuse_mixed(groups, list(better))
    group_notes += unknown_protocols(members, list(better))
    position, budget_notes = common_budget(members, list(better), axis, at)
    values, value_notes = final_values(members, list(better), axis, position)
    summaries = {metric: summarize_groups(groups, values[metric]) for metric in better}
    begun = {group: [record for record in records if record.rows] for group, records in groups.items()}
    varied = varied_settings([record for records in begun.values() for record in records])
    pairs = [pair for m, own in summaries.items() for pair in compare_pairs(m, better[m], groups, own)]
    return Comparison(
        by=by,
        axis=axis,
        groups=groups,
        metrics=better,
        position=position,
        summaries=summaries,
        pairs=pairs,
        best_of={metric: best_of(groups, values[metric], better[metric]) for metric in better},
        differences=differing_settings(begun, by.split(",")),
        varied=varied,
        importance={metric: importance_of(members, values[metric], varied) for metric in better},
        failed=[record for record in records if record.state == "failed"],
        notes=[*notes, *group_notes, *budget_notes, *value_notes, *seed_notes(groups, summaries)],
        command=command,
        warnings={record.id: record.warnings for record in members},
    )


def summarize_groups(groups: Groups, values: Mapping[str, float]) -> dict[str, Summary]:
    """Return group -> its summary, for groups with values."""
    found = {}
    for group, records in groups.items():
        if own := {record.id: values[record.id] for record in records if record.id in values}:
            numbers = list(own.values())
            several = len(numbers) > 2
            std = float(np.std(numbers, ddof=1)) if len(numbers) > 1 else None
            method: Method = "Student-t" if len(numbers) < statistics.ENOUGH else "bootstrap"
            interval = statistics.mean_interval(numbers) if several else None
            mean, median = float(np.mean(numbers)), float(np.median(numbers))
            found[group] = Summary(own, mean, median, std, interval, method if several else None)
    return found


def compare_pairs(metric: str, better: str, groups: Groups, summaries: Mapping[str, Summary]) -> list[Pair]:
    """Compare all pairs of groups in one metric, with Holm's correction of p (Holm 1979)."""
    pairs = [compare_pair(metric, better, a, b, groups, summaries) for a, b in combinations(summaries, 2)]
    tested = sorted((p, n) for n, pair in enumerate(pairs) if (p := pair.p_value) is not None)
    steps = np.maximum.accumulate([min(1.0, p * (len(tested) - k)) for k, (p, _) in enumerate(tested)] or [1.0])
    holm = {n: float(p) for (_, n), p in zip(tested, steps, strict=False)}
    return [replace(pair, p_holm=holm.get(n)) for n, pair in enumerate(pairs)]


def p_value(xs: Sequence[float], ys: Sequence[float], paired: bool) -> float | None:
    """Return p of the t-test that the means are equal; None for fewer than 3 values."""
    if min(len(xs), len(ys)) < 3:
        return None
    differences = np.subtract(xs, ys) if paired else np.concatenate([np.subtract(xs, xs[0]), np.subtract(ys, ys[0])])
    if np.ptp(differences) == 0:
        return float(np.mean(xs) == np.mean(ys))
    return float((stats.ttest_rel(xs, ys) if paired else stats.ttest_ind(xs, ys, equal_var=False)).pvalue)


def compare_pair(metric: str, better: str, a: str, b: str, groups: Groups, summaries: Mapping[str, Summary]) -> Pair:
    """Compare two groups, paired by seeds if they share several and neither repeats one."""
    xs, ys = list(summaries[a].values.values()), list(summaries[b].values.values())
    runs = ([(r.seed, summaries[g].values[r.id]) for r in groups[g] if r.id in summaries[g].values] for g in (a, b))
    seeds_a, seeds_b = map(dict, runs)
    shared = [seed for seed in seeds_a if seed is not None and seed in seeds_b]
    paired = len(shared) > 1 and len(seeds_a) == len(xs) and len(seeds_b) == len(ys)
    differences = [seeds_a[seed] - seeds_b[seed] for seed in shared]
    difference = float(np.mean(differences)) if paired else float(np.mean(xs) - np.mean(ys))
    interval = statistics.mean_interval(differences) if paired else statistics.welch_interval(xs, ys)
    probability = statistics.probability_of_improvement(xs, ys, better)
    improvement = statistics.improvement_interval(xs, ys, better)
    one, other = ([seeds[seed] for seed in shared] for seeds in (seeds_a, seeds_b)) if paired else (xs, ys)
    p = p_value(one, other, paired)
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


def warning_notes(records: Sequence[Record]) -> list[str]:
    """Return notes on runs that exploded or collapsed."""
    found = {word: [record for record in records if word in record.warnings] for word in WARNINGS.values()}
    return [f"{word} at their last entry of the log: {named(runs)}" for word, runs in found.items() if runs]


def seed_notes(groups: Groups, summaries: Mapping[str, Mapping[str, Summary]]) -> list[str]:
    """Return notes on groups whose intervals are missing, or aren't over seeds alone."""
    notes = []
    for group, records in groups.items():
        if single := [m for m, of in summaries.items() if group in of and len(of[group].values) == 1]:
            notes.append(f"one seed: no interval can be given for {group} ({', '.join(single)})")
        tried = configurations([record for record in records if record.rows])
        if len(tried) > 1:
            notes.append(f"{group} contains {len(tried)} configurations: its interval isn't over seeds alone")
        for runs in tried:
            seeds = Counter(record.seed for record in runs if record.seed is not None)
            if twice := [str(seed) for seed, count in seeds.items() if count > 1]:
                notes.append(f"{group} has equal runs (seed {', '.join(twice)}): its interval is too short")
    return notes
