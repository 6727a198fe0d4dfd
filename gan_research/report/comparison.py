"""Runs in groups, their numbers at equal budget, and what these say of the groups."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

import numpy as np

from gan_research.report.curves import Curve, curve
from gan_research.report.finals import AXES, finals, furthest
from gan_research.report.grouping import directions, grouped
from gan_research.report.protocols import refuse_mixed, unknown_protocols
from gan_research.report.records import Record
from gan_research.report.settings import configurations, differing_settings, importance_of, varied_settings
from gan_research.report.statistics import (
    ENOUGH,
    expected_best,
    improvement_interval,
    mean_interval,
    probability_of_improvement,
    welch_interval,
)

__all__ = ["AXES", "Comparison", "Curve", "Pair", "Summary", "compare"]

Method = Literal["Student-t", "bootstrap"]


@dataclass(frozen=True)
class Summary:
    """The numbers of a group's runs in one metric, and what they say of the mean over training seeds."""

    values: dict[str, float]
    """The run's id -> its number."""
    mean: float
    median: float
    std: float | None
    """With n - 1; None of one run."""
    interval: tuple[float, float] | None
    """95 % of the mean; None of one run."""
    method: Method | None


@dataclass(frozen=True)
class Pair:
    """Two groups in one metric."""

    metric: str
    a: str
    b: str
    probability: float
    """That a run of a is better than one of b; ties count half."""
    interval: tuple[float, float] | None
    difference: float
    """The mean of a, less that of b; where seeds are paired, over those that both have."""
    difference_interval: tuple[float, float] | None
    paired: bool


@dataclass(frozen=True)
class Comparison:
    """What `compare` found."""

    by: str
    axis: str
    groups: dict[str, list[Record]]
    """All runs, whatever became of them."""
    metrics: dict[str, str]
    """column -> "min" or "max", whichever is better; without "metrics/"."""
    position: float
    """Where on the axis the numbers are taken: the furthest that all finished runs reach, or what was asked for."""
    summaries: dict[str, dict[str, Summary]]
    """metric -> group -> its numbers; without groups that have none."""
    pairs: list[Pair]
    """Each metric's pairs of groups, once."""
    best_of: dict[str, dict[str, list[float]]]
    """metric -> group of several configurations -> the expected best of 1, 2, ... of them."""
    differences: dict[str, dict[str, str]]
    """setting -> group -> its value, or values; of those that differ between groups."""
    varied: list[str]
    """The settings, besides the seed, that vary between runs."""
    importance: dict[str, dict[str, float]]
    """metric -> varied setting -> how much of the metric it explains; {} of too few runs."""
    failed: list[Record]
    notes: list[str] = field(default_factory=list)
    command: str = ""
    """The line of a shell that makes this comparison."""
    title: str = ""
    references: dict[str, float] = field(default_factory=dict)
    """metric -> a number from elsewhere, to hold the curves against."""

    @property
    def records(self) -> list[Record]:
        """All runs."""
        return [record for group in self.groups.values() for record in group]

    def counted(self, metric: str, group: str) -> str:
        """How many of a group's runs are in a number: "5", or "4 of 5 (1 failed)"."""
        summary = self.summaries.get(metric, {}).get(group)
        inside = summary.values if summary is not None else {}
        outside = Counter(record.state for record in self.groups[group] if record.id not in inside)
        if not outside:
            return str(len(inside))
        words = [f"{count} {state if state != 'finished' else 'without it'}" for state, count in outside.items()]
        return f"{len(inside)} of {len(self.groups[group])} ({', '.join(words)})"

    def best(self, metric: str) -> str | None:
        """The group whose mean is better than all others'; None where there are no others, or is no such."""
        means = {group: summary.mean for group, summary in self.summaries.get(metric, {}).items()}
        best = (min if self.metrics.get(metric) == "min" else max)(means.values(), default=None)
        found = [group for group, mean in means.items() if mean == best]
        return found[0] if len(found) == 1 and len(means) > 1 else None

    def curves(self, scalar: str, axis: str) -> dict[str, Curve]:
        """group -> the curve of a scalar ("metrics/fid", "loss/generator"); without groups that lack it."""
        found = {
            group: curve([r.series(scalar, axis) for r in records], axis) for group, records in self.groups.items()
        }
        return {group: drawn for group, drawn in found.items() if drawn is not None}


def compare(
    records: Sequence[Record],
    by: str = "loss",
    metrics: Sequence[str] | None = None,
    axis: str = "round",
    at: float | None = None,
    notes: Sequence[str] = (),
    command: str = "",
) -> Comparison:
    """Runs, grouped by the settings `by` ("loss", or "loss,regularizer"), their numbers taken at one place of `axis`.

    metrics: some of what was measured; None: all. at: the place; None: the furthest that all finished runs reach.

    Raises a UserError where there is no such setting or metric, or a metric was measured by different protocols.
    """
    groups, told = grouped(records, by)
    members = [record for group in groups.values() for record in group]
    chosen = directions(members, metrics)
    refuse_mixed(groups, list(chosen))
    told += unknown_protocols(members, list(chosen))
    position, place_notes = furthest(members, list(chosen), axis, at)
    values, value_notes = finals(members, list(chosen), axis, position)
    summaries = {metric: summarised(groups, values[metric]) for metric in chosen}
    begun = {group: [record for record in of if record.rows] for group, of in groups.items()}
    varied = varied_settings([record for of in begun.values() for record in of])
    importance = {metric: importance_of(members, values[metric], varied) for metric in chosen}
    return Comparison(
        by=by,
        axis=axis,
        groups=groups,
        metrics=chosen,
        position=position,
        summaries=summaries,
        pairs=[pair for metric in chosen for pair in pairs(metric, chosen[metric], summaries[metric], groups)],
        best_of={metric: best_of(groups, values[metric], chosen[metric]) for metric in chosen},
        differences=differing_settings(begun, by.split(",")),
        varied=varied,
        importance=importance,
        failed=[record for record in records if record.state == "failed"],
        notes=[*notes, *told, *place_notes, *value_notes, *seed_notes(groups, summaries)],
        command=command,
    )


def summarised(groups: Mapping[str, Sequence[Record]], values: Mapping[str, float]) -> dict[str, Summary]:
    """group -> its summary; without groups that have no numbers."""
    found = {}
    for group, records in groups.items():
        numbers = {record.id: values[record.id] for record in records if record.id in values}
        if numbers:
            found[group] = summary_of(numbers)
    return found


def summary_of(values: dict[str, float]) -> Summary:
    """The summary of at least one number."""
    numbers = list(values.values())
    several = len(numbers) > 1
    return Summary(
        values=values,
        mean=float(np.mean(numbers)),
        median=float(np.median(numbers)),
        std=float(np.std(numbers, ddof=1)) if several else None,
        interval=mean_interval(numbers),
        method=None if not several else "Student-t" if len(numbers) < ENOUGH else "bootstrap",
    )


def pairs(
    metric: str, better: str, summaries: Mapping[str, Summary], groups: Mapping[str, Sequence[Record]]
) -> list[Pair]:
    """Each two groups that have numbers, once."""
    return [
        pair_of(metric, better, a, b, by_seed(groups[a], summaries[a].values), by_seed(groups[b], summaries[b].values))
        for a, b in combinations(summaries, 2)
    ]


def by_seed(records: Sequence[Record], values: Mapping[str, float]) -> list[tuple[int | None, float]]:
    """(seed, number) of the runs that have a number."""
    return [(record.seed, values[record.id]) for record in records if record.id in values]


def pair_of(
    metric: str, better: str, a: str, b: str, of_a: list[tuple[int | None, float]], of_b: list[tuple[int | None, float]]
) -> Pair:
    """Two groups; seeds are paired where each group has them once, and both have two or more."""
    xs, ys = [value for _, value in of_a], [value for _, value in of_b]
    seeds_a, seeds_b = dict(of_a), dict(of_b)
    shared = [seed for seed in seeds_a if seed is not None and seed in seeds_b]
    paired = len(shared) > 1 and len(seeds_a) == len(of_a) and len(seeds_b) == len(of_b)
    differences = [seeds_a[seed] - seeds_b[seed] for seed in shared]
    return Pair(
        metric=metric,
        a=a,
        b=b,
        probability=probability_of_improvement(xs, ys, better),
        interval=improvement_interval(xs, ys, better),
        difference=float(np.mean(differences)) if paired else float(np.mean(xs) - np.mean(ys)),
        difference_interval=mean_interval(differences) if paired else welch_interval(xs, ys),
        paired=paired,
    )


def best_of(groups: Mapping[str, Sequence[Record]], values: Mapping[str, float], better: str) -> dict[str, list[float]]:
    """The expected best of 1, 2, ... configurations, each the mean of its seeds; of groups that have several."""
    found = {}
    for group, records in groups.items():
        tried = configurations([record for record in records if record.id in values]).values()
        if len(tried) > 1:
            found[group] = expected_best([float(np.mean([values[r.id] for r in runs])) for runs in tried], better)
    return found


def seed_notes(groups: Mapping[str, Sequence[Record]], summaries: Mapping[str, Mapping[str, Summary]]) -> list[str]:
    """What to know of the runs behind the intervals."""
    single: dict[str, list[str]] = {}
    for metric, of in summaries.items():
        for group in (group for group, summary in of.items() if len(summary.values) == 1):
            single.setdefault(group, []).append(metric)
    notes = [f"one seed: no interval can be given for {g} ({', '.join(metrics)})" for g, metrics in single.items()]
    for group, records in groups.items():
        tried = configurations([record for record in records if record.rows])
        if len(tried) > 1:
            notes.append(f"{group} holds {len(tried)} configurations: its interval is of runs, not of seeds alone")
        for runs in tried.values():
            seeds = Counter(record.seed for record in runs if record.seed is not None)
            if twice := [str(seed) for seed, count in seeds.items() if count > 1]:
                notes.append(f"{group} has equal games, of seed {', '.join(twice)}: they make its interval too short")
    return notes
