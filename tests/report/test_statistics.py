"""Intervals and probabilities against closed forms, SciPy and enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gan_research.report.statistics import (
    expected_best,
    improvement_interval,
    mean_interval,
    mean_intervals,
    probability_of_improvement,
    score_interval,
    welch_interval,
)

A = [5.1, 4.7, 6.3, 5.9, 5.0]
B = [6.2, 5.8, 7.9, 6.0]


def test_students_interval_in_closed_form():
    """Of 1, 2, 3: mean 2, standard error 1 / sqrt 3, and t of 2 degrees of freedom, which has a closed form."""
    t = 0.95 * math.sqrt(2 / (1 - 0.95**2))
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2 - t / math.sqrt(3), 2 + t / math.sqrt(3)), rel=1e-12)


@pytest.mark.parametrize("values", [A, np.random.default_rng(6).lognormal(size=19).tolist()])
def test_below_20_values_the_interval_is_students(values):
    found = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((found.low, found.high), rel=1e-12)


def test_one_value_has_no_interval():
    assert mean_interval([5.0]) is None
    assert mean_interval([]) is None
    assert welch_interval([5.0], B) is None
    assert improvement_interval(A, [5.0], "min") is None


@pytest.mark.parametrize("n", [20, 24])
def test_from_20_values_on_the_interval_is_by_the_bootstrap(n):
    values = np.random.default_rng(5).lognormal(size=n).tolist()
    found = stats.bootstrap((values,), np.mean, n_resamples=100_000, method="BCa", rng=1).confidence_interval
    width = found.high - found.low
    assert mean_interval(values) == pytest.approx((found.low, found.high), abs=0.05 * width)
    assert mean_interval(values) == mean_interval(values)
    student = stats.t.interval(0.95, n - 1, np.mean(values), stats.sem(values))
    assert abs(mean_interval(values)[0] - student[0]) > 0.05 * width


def test_the_columns_of_a_table_are_independent():
    """Columns of 25, 20, 19, 2, 1 and 0 values, the rest missing, and constant ones."""
    table = np.full((25, 8), np.nan)
    for column, n in enumerate((25, 20, 19, 2, 1, 0)):
        table[25 - n :, column] = np.random.default_rng(n).lognormal(size=n)
    table[:3, 6], table[:, 7] = 2.5, 1.5
    found = mean_intervals(table).T
    for column, interval in zip(table.T, found, strict=True):
        alone = mean_interval(column[~np.isnan(column)].tolist())
        assert tuple(interval) == (pytest.approx((np.nan, np.nan), nan_ok=True) if alone is None else alone)
    assert found[6:].tolist() == [[2.5, 2.5], [1.5, 1.5]]


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([2.5] * 3) == (2.5, 2.5)
    assert mean_interval([2.5] * 25) == (2.5, 2.5)
    assert welch_interval([2.5] * 3, [1.0] * 3) == (1.5, 1.5)


def test_welchs_interval_has_satterthwaites_degrees_of_freedom():
    va, vb = np.var(A, ddof=1) / len(A), np.var(B, ddof=1) / len(B)
    freedom = (va + vb) ** 2 / (va**2 / (len(A) - 1) + vb**2 / (len(B) - 1))
    expected = stats.t.interval(0.95, freedom, np.mean(A) - np.mean(B), math.sqrt(va + vb))
    assert welch_interval(A, B) == pytest.approx(expected, rel=1e-12)


def test_one_constant_sample_has_no_variance_of_its_own(recwarn):
    expected = stats.t.interval(0.95, len(B) - 1, 2 - np.mean(B), stats.sem(B))
    assert welch_interval([2.0] * 3, B) == pytest.approx(expected, rel=1e-12)
    assert len(recwarn) == 0


@pytest.mark.parametrize("better", ["min", "max"])
def test_the_probability_of_improvement_is_mann_and_whitneys(better):
    a, b = [*A, 6.0], B  # a tie
    u = stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert probability_of_improvement(a, b, better) == pytest.approx(u if better == "max" else 1 - u, abs=1e-12)


def test_ties_count_half():
    assert probability_of_improvement([1.0, 2.0], [2.0, 3.0], "min") == (1 + 1 + 0.5 + 1) / 4
    assert probability_of_improvement([1.0], [1.0], "max") == 0.5


@pytest.mark.parametrize(("probability", "m", "n"), [(0.8, 5, 5), (8 / 9, 3, 3), (0.35, 4, 10), (1.0, 5, 5)])
def test_the_score_intervals_ends_are_z_standard_errors_away(probability, m, n):
    z, others = stats.norm.ppf(0.975), (m + n) / 2 - 1
    for theta in score_interval(probability, m, n):
        if theta == 1:
            assert probability == 1
            continue
        q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)  # Hanley and McNeil 1982
        variance = theta * (1 - theta) + others * (q1 - theta**2) + others * (q2 - theta**2)
        assert abs(probability - theta) == pytest.approx(z * math.sqrt(variance / (m * n)), rel=1e-6)


def test_the_score_interval_is_symmetric_and_narrows():
    low, high = score_interval(0.8, 5, 7)
    assert score_interval(0.2, 5, 7) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    widths = [np.ptp(score_interval(0.75, n, n)) for n in (3, 5, 10, 19)]
    assert widths == sorted(widths, reverse=True)


def test_three_against_three_prove_nothing():
    """However far apart: of 20 ways to put 6 numbers into two groups, 2 separate them."""
    assert improvement_interval([1, 2, 3], [7, 8, 9], "min")[0] <= 0.5
    low, high = improvement_interval([1, 2, 3, 4], [7, 8, 9, 10], "min")
    assert (low, high) == pytest.approx((0.5830, 1.0), abs=1e-3)


@pytest.mark.parametrize("theta", [0.5, 0.75, 0.95])
@pytest.mark.parametrize("n", [3, 5])
def test_the_intervals_coverage(theta, n):
    """Of 1,000 simulations at least 92 % hold the true probability: 3 standard errors below 95 %, rounded down."""
    generator = np.random.default_rng(n)
    shift = math.sqrt(2) * stats.norm.ppf(theta)
    games = zip(generator.normal(shift, 1, (1000, n)), generator.normal(0, 1, (1000, n)), strict=True)
    held = [low <= theta <= high for low, high in (improvement_interval(a, b, "max") for a, b in games)]
    assert np.mean(held) >= 0.92


def test_of_many_runs_the_probabilitys_interval_is_by_the_bootstrap():
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.6, 1, 40), generator.normal(0, 1, 30)
    low, high = improvement_interval(a, b, "max")
    score = score_interval(probability_of_improvement(a, b, "max"), 40, 30)
    assert (low, high) != score
    assert (low, high) == pytest.approx(score, abs=0.03)


def test_many_separated_runs_have_no_interval_of_no_width():
    low, high = improvement_interval(list(range(20)), list(range(30, 50)), "min")
    assert 0.85 < low < 0.95
    assert high == 1


@pytest.mark.parametrize("better", ["min", "max"])
def test_the_expected_best_is_that_of_all_draws(better):
    values = [3.0, 1.0, 4.0, 1.5, 9.0, 2.6]
    best = min if better == "min" else max
    enumerated = [np.mean([best(draw) for draw in itertools.combinations(values, n)]) for n in range(1, 7)]
    assert expected_best(values, better) == pytest.approx(enumerated, rel=1e-12)


def test_the_expected_best_of_many_trials():
    """Of 0 ... K - 1, the least of n has mean (K - n) / (n + 1)."""
    found = expected_best(list(range(300)), "min")
    assert found == pytest.approx([(300 - n) / (n + 1) for n in range(1, 301)], rel=1e-9, abs=1e-9)
