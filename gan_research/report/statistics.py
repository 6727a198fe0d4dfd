"""What a few numbers say of what they were drawn from: pure functions of lists of numbers."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

ENOUGH = 20
"""From so many numbers on intervals are by the bootstrap."""

LEVEL = 0.95

RESAMPLES = 10_000

Interval = tuple[float, float]
Floats = NDArray[np.float64]


def t_interval(values: Sequence[float]) -> Interval | None:
    """95 % of the mean by Student's t with n - 1 degrees of freedom; None of fewer than 2."""
    if len(values) < 2:
        return None
    return around(float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values)), len(values) - 1)


def around(center: float, error: float, freedom: float) -> Interval:
    """The center and t standard errors to both sides."""
    half = t_quantile(freedom) * error
    return center - half, center + half


@cache
def t_quantile(freedom: float) -> float:
    """97.5 % of Student's t."""
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))


def bootstrap_interval(values: Sequence[float], resamples: int = RESAMPLES) -> Interval | None:
    """95 % of the mean by the bias-corrected and accelerated bootstrap, the same each time; None of fewer than 2.

    Efron 1987, Better bootstrap confidence intervals, sections 2 and 4 (z0), 7 (the acceleration, by the jackknife).
    """
    x = np.asarray(values, dtype=np.float64)
    if len(x) < 2:
        return None
    if np.ptp(x) == 0:
        return float(x[0]), float(x[0])
    means = x[np.random.default_rng(0).integers(0, len(x), (resamples, len(x)))].mean(1)
    below = ((means < x.mean()).mean() + (means <= x.mean()).mean()) / 2
    z0 = stats.norm.ppf(below)
    pulls = (x - x.mean()) / (len(x) - 1)  # mean of the jackknife's means, less each
    acceleration = (pulls**3).sum() / (6 * (pulls**2).sum() ** 1.5)
    z = z0 + stats.norm.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    low, high = np.quantile(means, stats.norm.cdf(z0 + z / (1 - acceleration * z)))
    return float(low), float(high)


def mean_interval(values: Sequence[float], resamples: int = RESAMPLES) -> Interval | None:
    """95 % of the mean: by Student's t below 20 values, by the bootstrap from there; None of fewer than 2."""
    return t_interval(values) if len(values) < ENOUGH else bootstrap_interval(values, resamples)


def welch_interval(a: Sequence[float], b: Sequence[float]) -> Interval | None:
    """95 % of mean(a) - mean(b), of independent samples with variances of their own; None if either has fewer than 2.

    Welch 1947, with Satterthwaite's degrees of freedom.
    """
    if min(len(a), len(b)) < 2:
        return None
    difference = float(np.mean(a) - np.mean(b))
    va, vb = float(np.var(a, ddof=1)) / len(a), float(np.var(b, ddof=1)) / len(b)
    if va + vb == 0:
        return difference, difference
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return around(difference, math.sqrt(va + vb), freedom)


def wins(a: Sequence[float], b: Sequence[float], better: str) -> Floats:
    """(len(a), len(b)): 1 where the one of a is better ("min" or "max"), 1/2 where they are equal, else 0."""
    difference = np.subtract.outer(np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    return (np.sign(difference if better == "max" else -difference) + 1) / 2


def probability_of_improvement(a: Sequence[float], b: Sequence[float], better: str) -> float:
    """That one drawn from a is better than one drawn from b, ties half: Mann and Whitney's U / (m n).

    Agarwal et al. 2021, arXiv 2108.13264, section 4.3.
    """
    return float(wins(a, b, better).mean())


def improvement_interval(a: Sequence[float], b: Sequence[float], better: str) -> Interval | None:
    """95 % of the probability of improvement; None if either has fewer than 2.

    By the percentile bootstrap within a and within b where both have at least 20 values, as in Agarwal et al. 2021.
    Of fewer, and where one is always better, resampling would give intervals too short, even [1, 1]: there by
    `score_interval`, made to hold 1/2 where Mann and Whitney's test doesn't reject it, as in 3 against 3 it never does.

    Coverage in 20,000 simulations with normal values, at probabilities of 0.5 to 0.99: of 3 to 19 a side 93 % to
    100 %, of 2 on a side at least 90 %.
    """
    if min(len(a), len(b)) < 2:
        return None
    table = wins(a, b, better)
    probability = float(table.mean())
    if min(len(a), len(b)) < ENOUGH or probability in (0, 1):
        low, high = score_interval(probability, len(a), len(b))
        rejected = stats.mannwhitneyu(a, b).pvalue < 1 - LEVEL
        return (low, high) if rejected else (min(low, 0.5), max(high, 0.5))
    generator = np.random.default_rng(0)
    of_a = generator.multinomial(len(a), np.full(len(a), 1 / len(a)), RESAMPLES)
    of_b = generator.multinomial(len(b), np.full(len(b), 1 / len(b)), RESAMPLES)
    found = ((of_a @ table) * of_b).sum(1) / table.size
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def score_interval(probability: float, m: int, n: int) -> Interval:
    """95 % of theta = P(A better than B), of which m x n pairs gave `probability`.

    Newcombe 2006, Statistics in Medicine 25:559, method 5: all theta of which the estimate is not farther than z
    standard errors, with Hanley and McNeil's (1982) variance at theta, in which m - 1 and n - 1 are their mean.
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
    """Of n = 1 ... K of K trials, drawn without replacement: the mean of the best.

    The i-th best is the best of those drawn in C(K - i, n - 1) of C(K, n) draws.
    """
    ranked = sorted(values, reverse=better == "max")
    k = len(ranked)
    return [
        math.fsum(x * (math.comb(k - i, n - 1) / math.comb(k, n)) for i, x in enumerate(ranked, 1))
        for n in range(1, k + 1)
    ]
