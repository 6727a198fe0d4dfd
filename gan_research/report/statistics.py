"""Intervals and probabilities from a few numbers: pure functions of sequences."""

import math
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

ENOUGH = 20  # the number of values from which intervals are computed by the bootstrap
LEVEL = 0.95
RESAMPLES = 10_000
Interval = tuple[float, float]
Floats = NDArray[np.float64]


def mean_intervals(table: Floats, resamples: int = RESAMPLES) -> Floats:
    """Return (2, K): the 95 % interval of the mean of each column of a table (N, K), whose NaN are missing values.

    Student's t below 20 values, from there the BCa bootstrap (Efron 1987) with a fixed seed. NaN for fewer than 2.
    """
    values, counts = np.sort(table, axis=0), (~np.isnan(table)).sum(0)  # sorting puts NaN last
    constant = values[0] == values[np.maximum(counts, 1) - 1, np.arange(len(counts))]
    intervals = np.where((counts > 1) & constant, values[:1], np.nan).repeat(2, axis=0)
    varying = (counts > 1) & ~constant
    for n in np.unique(counts[varying]):
        chosen = varying & (counts == n)
        x = values[:n, chosen]
        if n < ENOUGH:
            intervals[:, chosen] = stats.t.interval(LEVEL, n - 1, x.mean(0), stats.sem(x))
        else:
            options = {"confidence_level": LEVEL, "method": "BCa", "batch": 100, "rng": np.random.default_rng(0)}
            found = stats.bootstrap((x,), np.mean, n_resamples=resamples, **options)
            intervals[:, chosen] = found.confidence_interval
    return intervals


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of the mean as `mean_intervals` computes it; None where it can't."""
    return known(*mean_intervals(np.asarray(values, dtype=np.float64)[:, None])[:, 0]) if len(values) > 1 else None


def known(low: float, high: float) -> Interval | None:
    """Return an interval; None if it isn't finite, as that of values whose squares underflow."""
    return (float(low), float(high)) if math.isfinite(low) and math.isfinite(high) else None


def welch_interval(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """Return the 95 % interval of mean(a) - mean(b) by Welch's t; None if either has fewer than 2 values."""
    if min(len(a), len(b)) < 2:
        return None
    if np.ptp(a) == np.ptp(b) == 0:
        return float(a[0] - b[0]), float(a[0] - b[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)  # raised if one of them is constant
        low, high = stats.ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
    return known(low, high)


def wins(a: Sequence[float], b: Sequence[float], better: str) -> Floats:
    """Return (len(a), len(b)): 1 where the value of a is better ("min" or "max"), 1/2 where they are equal, else 0."""
    difference = np.subtract.outer(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return (np.sign(difference if better == "max" else -difference) + 1) / 2


def probability_of_improvement(a: Sequence[float], b: Sequence[float], better: str) -> float:
    """Return the probability that a value of a is better than one of b: Mann and Whitney's U / (m n).

    Ties count half. Agarwal et al. 2021, arXiv 2108.13264, section 4.3.
    """
    return float(wins(a, b, better).mean())


def improvement_interval(a: Sequence[float], b: Sequence[float], better: str) -> Interval | None:
    """Return the 95 % interval of the probability of improvement; None if either has fewer than 2 values.

    If both have at least 20 values: the percentile bootstrap within a and within b, as in Agarwal et al. 2021. With
    fewer, or if one is always better, resampling would give intervals that are too short, even [1, 1]. There it is
    `score_interval`, extended to 1/2 where Mann and Whitney's test doesn't reject 1/2 (with 3 against 3 it never does).

    Coverage in 20,000 simulations with normal values, at probabilities of 0.5 to 0.99: 93 % to 100 % with 3 to 19
    values each, at least 90 % with 2 values in one of them.
    """
    if min(len(a), len(b)) < 2:
        return None
    table = wins(a, b, better)
    probability = float(table.mean())
    if min(len(a), len(b)) < ENOUGH or probability in (0, 1):
        low, high = score_interval(probability, len(a), len(b))
        rejected = stats.mannwhitneyu(a, b).pvalue < 1 - LEVEL
        return (low, high) if rejected else (min(low, 0.5), max(high, 0.5))
    rng = np.random.default_rng(0)
    counts_a = rng.multinomial(len(a), np.full(len(a), 1 / len(a)), RESAMPLES)
    counts_b = rng.multinomial(len(b), np.full(len(b), 1 / len(b)), RESAMPLES)
    resampled = ((counts_a @ table) * counts_b).sum(1) / table.size
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def score_interval(probability: float, m: int, n: int) -> Interval:
    """Return the 95 % interval of theta = P(A better than B), estimated from m x n pairs.

    Newcombe 2006, Statistics in Medicine 25:559, method 5: all theta from which the estimate is at most z standard
    errors away, by Hanley and McNeil's (1982) variance at theta, with the mean of m - 1 and n - 1 in place of each.
    """
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    others = (m + n) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + others * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (probability - theta) ** 2 - z**2 * theta * (1 - theta) * spread / (m * n)

    low = 0.0 if probability == 0 else float(optimize.brentq(excess, 0.0, probability - 1e-12))
    high = 1.0 if probability == 1 else float(optimize.brentq(excess, probability + 1e-12, 1.0))
    return low, high


def expected_best(values: Sequence[float], better: str) -> list[float]:
    """Return the expected best of n = 1 ... K of K trials, drawn without replacement.

    The i-th best is the best of C(K - i, n - 1) of the C(K, n) draws.
    """
    ranked = sorted(values, reverse=better == "max")
    k = len(ranked)
    return [
        math.fsum(x * (math.comb(k - i, n - 1) / math.comb(k, n)) for i, x in enumerate(ranked, 1))
        for n in range(1, k + 1)
    ]
