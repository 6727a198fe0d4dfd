"""Intervals and probabilities against closed forms, SciPy and enumeration."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gan_research.report.statistics import (
    compare_means,
    expected_best,
    holm,
    improvement_interval,
    mean_interval,
    mean_intervals,
    p_of_equal_values,
    probability_of_improvement,
    scale_of,
    score_interval,
)
from gan_research.utils.ranges import NON_NEGATIVE, SHARE, UNBOUNDED

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


@pytest.mark.parametrize("few", [[], [5.0], [5.0, 5.1]])
def test_fewer_than_three_values_have_no_interval(few):
    assert mean_interval(few) is None
    if few:
        assert compare_means(few, B) == (None, None)
        assert improvement_interval(A, few, "min") is None


# Intervals within a range


def test_an_interval_on_the_log_scale_in_closed_form():
    """Of 1, 2, 3: the standard error of log(mean) is 1 / sqrt 3 / 2, and t is as above."""
    half = 0.95 * math.sqrt(2 / (1 - 0.95**2)) / math.sqrt(3) / 2
    expected = 2 * math.exp(-half), 2 * math.exp(half)
    assert mean_interval([1.0, 2.0, 3.0], NON_NEGATIVE) == pytest.approx(expected, rel=1e-12)
    assert mean_interval([6.0, 7.0, 8.0], (5, None)) == pytest.approx([5 + end for end in expected], rel=1e-12)
    assert mean_interval([-1.0, -2.0, -3.0], (None, 0)) == pytest.approx([-end for end in expected[::-1]], rel=1e-12)


def test_an_interval_on_the_logit_scale_in_closed_form():
    """The odds of the mean, 0.94 / 0.06, times exp(-+ t se / (0.94 * 0.06))."""
    values = [0.9, 0.95, 0.97]
    factor = math.exp(stats.t.ppf(0.975, 2) * stats.sem(values) / (0.94 * 0.06))
    expected = [odds / (1 + odds) for odds in (0.94 / 0.06 / factor, 0.94 / 0.06 * factor)]
    assert mean_interval(values, SHARE) == pytest.approx(expected, rel=1e-12)
    assert mean_interval([1 + 9 * x for x in values], (1, 10)) == pytest.approx(
        [1 + 9 * e for e in expected], rel=1e-12
    )


@pytest.mark.parametrize(
    ("values", "range", "scale"),
    [
        ([0.0, 0.0, 50.0], NON_NEGATIVE, "log"),  # plain: -55 to 88
        ([0.0, 1.0, 1.0], SHARE, "logit"),
        ([0.0, 0.0, 0.0, 1e-9], SHARE, "logit"),
        ([1.0, 1.0, 1.0 - 1e-9], SHARE, "logit"),
        ([8.0, 8.0, 7.0], (0, 8), "logit"),
        (np.random.default_rng(0).beta(0.3, 0.1, 25).tolist(), SHARE, "logit"),  # by the bootstrap
    ],
)
def test_an_interval_holds_the_mean_and_stays_within_the_range(values, range, scale):
    """Values at a bound need no change: only the mean is put on the scale."""
    low, high = mean_interval(values, range)
    least, largest = (-math.inf if range[0] is None else range[0]), (math.inf if range[1] is None else range[1])
    assert least <= low < np.mean(values) < high <= largest
    assert scale_of(range) == scale


def test_values_outside_of_their_range_have_the_plain_interval():
    assert mean_interval([-1.0, -2.0, -3.0], NON_NEGATIVE) == mean_interval([-1.0, -2.0, -3.0])
    assert scale_of(UNBOUNDED) is None


@pytest.mark.parametrize(
    ("draw", "range", "mean", "least"),
    [
        (lambda g, size: g.lognormal(0, 0.1, size), NON_NEGATIVE, math.exp(0.005), 0.945),
        (lambda g, size: g.lognormal(0, 0.5, size), NON_NEGATIVE, math.exp(0.125), 0.93),
        (lambda g, size: g.lognormal(0, 1, size), NON_NEGATIVE, math.exp(0.5), 0.87),
        (lambda g, size: g.normal(1, 0.2, size).clip(0), NON_NEGATIVE, 1, 0.945),
        (lambda g, size: g.beta(50, 50, size), SHARE, 0.5, 0.945),
        (lambda g, size: g.beta(9, 1, size), SHARE, 0.9, 0.93),
        (lambda g, size: g.beta(2, 1, size), SHARE, 2 / 3, 0.945),
    ],
)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_coverage_of_intervals_on_a_scale(draw, range, mean, least, n):
    """Of 20,000 simulations (standard error 0.15 %); it is never less than that of the plain interval."""
    table = draw(np.random.default_rng(n), (n, 20_000))

    def coverage(range):
        low, high = mean_intervals(table, range)
        return ((low <= mean) & (mean <= high)).mean()

    assert least < coverage(range) < 0.97
    assert coverage(range) > coverage(UNBOUNDED) - 0.002


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
    table[:4, 6], table[:, 7] = [2, 1, 3, 4], 1.5
    found = mean_intervals(table).T
    for column, interval in zip(table.T, found, strict=True):
        alone = mean_interval(column[~np.isnan(column)].tolist())
        if alone is not None:
            assert tuple(interval) == alone
    assert np.isnan(found[3:6]).all()
    assert np.isfinite(found[[0, 1, 2, 6]]).all()
    assert found[7].tolist() == [1.5, 1.5]  # a band of no width


def test_equal_values_dont_tell_their_spread():
    assert mean_interval([2.5] * 3) is None
    assert mean_interval([0.0] * 25, SHARE) is None
    assert compare_means([2.5] * 3, [2.5] * 4) == (None, 1)
    assert compare_means([8.0] * 5, [7.0] * 5, paired=True, range=(0, 8)) == (None, 2 / 2**10)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (3, 6), (5, 4)])
def test_the_p_of_equal_values_is_the_largest_of_any_distribution(m, n):
    """Enumerated: the probability of m equal values and n equal others, of distributions of two to four values."""
    p = p_of_equal_values(m, n)
    generator, found = np.random.default_rng(0), []
    for values in (2, 3, 4):
        for q in generator.dirichlet(np.ones(values), 2000):
            found.append((q**m).sum() * (q**n).sum() - (q ** (m + n)).sum())
    assert 0.9 * p < max(found) <= p + 1e-9
    assert p_of_equal_values(3, 3) == 1 / 32


def test_welchs_interval_has_satterthwaites_degrees_of_freedom():
    va, vb = np.var(A, ddof=1) / len(A), np.var(B, ddof=1) / len(B)
    freedom = (va + vb) ** 2 / (va**2 / (len(A) - 1) + vb**2 / (len(B) - 1))
    expected = stats.t.interval(0.95, freedom, np.mean(A) - np.mean(B), math.sqrt(va + vb))
    interval, p = compare_means(A, B)
    assert interval == pytest.approx(expected, rel=1e-12)
    statistic = (np.mean(A) - np.mean(B)) / math.sqrt(va + vb)
    assert p == pytest.approx(2 * stats.t.sf(abs(statistic), freedom), rel=1e-12)


def test_paired_means_have_the_interval_and_the_p_of_their_differences():
    differences = np.subtract(A[:4], B)
    found = stats.ttest_1samp(differences, 0)
    interval, p = compare_means(A[:4], B, paired=True)
    assert interval == pytest.approx(mean_interval(differences.tolist()), rel=1e-12)
    assert p == pytest.approx(found.pvalue, rel=1e-12)
    assert compare_means([1.0, 2.0, 4.0], [2.0, 3.0, 5.0], paired=True) == compare_means([1, 2, 4], [2, 3, 5])


def test_a_difference_is_cut_off_at_the_largest_that_the_range_allows():
    assert compare_means([0.0, 1.0, 1.0], [0.0, 0.0, 1.0], range=SHARE)[0] == (pytest.approx(-0.976, abs=1e-3), 1)
    assert compare_means([0.0, 1.0, 1.0], [0.0, 0.0, 1.0], range=NON_NEGATIVE)[0][1] > 1


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.01, 0.6], [1, 0.03, 1]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holms_correction_by_hand(p, corrected):
    """As statsmodels' multipletests(p, method="holm") and R's p.adjust(p, "holm")."""
    assert holm(p) == pytest.approx(corrected, rel=1e-12)


@pytest.mark.parametrize("equal", [4, 3])
def test_holms_error_rate_over_all_pairs_of_groups(equal):
    """Of 4 groups of 5 runs, `equal` ones have the same mean: any of their pairs is rejected in at most 5 %.

    Of 4,000 simulations: standard error 0.35 %. Without the correction it is about 16 % for four groups.
    """
    groups = np.random.default_rng(equal).normal(size=(4, 5, 4000))
    groups[equal:] += 3
    pairs = list(itertools.combinations(range(4), 2))
    p = np.array([stats.ttest_ind(groups[a], groups[b], equal_var=False).pvalue for a, b in pairs])
    null = [b < equal for _, b in pairs]
    rejected = np.array([np.array(holm(of)) < 0.05 for of in p.T])[:, null].any(1).mean()
    assert 0.015 < rejected < 0.055
    assert (p[null] < 0.05).any(0).mean() > 0.09


def test_one_constant_sample_has_no_variance_of_its_own(recwarn):
    expected = stats.t.interval(0.95, len(B) - 1, 2 - np.mean(B), stats.sem(B))
    assert compare_means([2.0] * 3, B)[0] == pytest.approx(expected, rel=1e-12)
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
