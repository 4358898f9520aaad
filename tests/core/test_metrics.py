"""Intervals against tables, hand calculation, scipy's own, and how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, quantile_test, ttest_1samp

from mlp_core.statistics.intervals import Interval, median_interval, share_interval, student_t_factor

# 97.5 % quantiles as printed in statistical tables
T_TABLE = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 15: 2.131, 20: 2.086, 29: 2.045, 30: 2.042, 40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip

# Test accuracies of four hidden layers of five units, the 41 quantiles of many seeds: one in ten never learned
BIMODAL = np.concatenate([np.full(4, 0.25), np.linspace(0.45, 0.85, 9), np.linspace(0.86, 0.95, 28)])


@pytest.mark.parametrize(("degrees_of_freedom", "quantile"), T_TABLE.items())
def test_quantiles_are_those_of_the_tables(degrees_of_freedom, quantile):
    """Odd and even degrees of freedom agree with the printed table in its last digit."""
    assert student_t_factor(degrees_of_freedom) == pytest.approx(quantile, abs=0.0005)


def test_quantiles_have_closed_forms():
    """For one and two degrees of freedom the quantile is elementary; for very many it is the normal one."""
    assert student_t_factor(1) == pytest.approx(math.tan(0.95 * math.pi / 2), rel=1e-12)
    assert student_t_factor(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-12)
    assert student_t_factor(20_000) == pytest.approx(1.959964, rel=1e-4)


@pytest.mark.parametrize("degrees_of_freedom", [0, -1])
def test_no_degrees_of_freedom_are_refused(degrees_of_freedom):
    """A single value has no interval, and asking for its factor is an error."""
    with pytest.raises(ValueError, match=rf"must be at least 1, got {degrees_of_freedom}"):
        student_t_factor(degrees_of_freedom)


def test_diverged_members_are_counted_and_left_out():
    """NaN and infinities change the count of the missing alone."""
    finite = [0.5, 0.75, 0.625, 0.6, 0.7, 0.8]
    whole = median_interval(np.array(finite))
    interval = median_interval(np.array([np.nan, *finite[:3], np.inf, *finite[3:], -np.inf]))
    assert whole.has_interval
    assert interval == Interval(6, whole.estimate, whole.low, whole.high, missing=3)


@pytest.mark.parametrize(
    ("values", "n", "median", "missing"),
    [([], 0, np.nan, 0), ([np.nan], 0, np.nan, 1), ([0.5], 1, 0.5, 0), ([0.5, np.nan], 1, 0.5, 1)],
)
def test_fewer_than_two_values_have_no_interval(values, n, median, missing):
    """Nothing or a single member has a value at most."""
    interval = median_interval(np.array(values))
    assert (interval.n, interval.missing) == (n, missing)
    assert np.array_equal([interval.estimate, interval.low, interval.high], [median, np.nan, np.nan], equal_nan=True)
    assert not interval.has_interval


def test_equal_values_have_no_interval():
    """Eight times a third is no proof that all networks reach a third."""
    interval = median_interval(np.full(8, 1 / 3))
    assert (interval.n, interval.has_interval) == (8, False)
    assert interval.estimate == pytest.approx(1 / 3)
    assert math.isnan(interval.low)


@pytest.mark.parametrize(("n", "rank"), [(5, None), (6, 1), (8, 1), (9, 2), (16, 4), (64, 24), (100, 40), (1000, 469)])
def test_ends_of_a_medians_interval_are_ranks(n, rank):
    """The ranks of the printed tables; one more on each side would hold the median less than 95 times in 100."""
    interval = median_interval(np.random.default_rng(n).permutation(n) + 1.0)
    assert interval.estimate == (n + 1) / 2
    if rank is None:
        assert not interval.has_interval
        assert 1 - 2 * binom.cdf(0, n, 0.5) < 0.95
        return
    assert (interval.low, interval.high) == (rank, n + 1 - rank)
    assert 1 - 2 * binom.cdf(rank - 1, n, 0.5) >= 0.95 > 1 - 2 * binom.cdf(rank, n, 0.5)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_a_medians_interval_is_scipys(n):
    """Scipy's test of a quantile gives the same ends."""
    values = np.random.default_rng(n).normal(size=n)
    ends = quantile_test(values, p=0.5).confidence_interval(0.95)
    interval = median_interval(values)
    assert (interval.low, interval.high) == (ends.low, ends.high)


def test_an_interval_is_cut_to_what_is_possible():
    """Cutting to 0..1 moves the ends that stick out and no other, and leaves a missing end missing."""
    assert Interval(2, 0.9, 0.7, 1.1, 0).within(0, 1) == Interval(2, 0.9, 0.7, 1.0, 0)
    assert Interval(2, 0.1, -0.1, 0.3, 0).within(0, 1) == Interval(2, 0.1, 0.0, 0.3, 0)
    assert math.isnan(median_interval(np.array([0.5])).within(0, 1).low)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_intervals_of_a_median_cover_it_where_a_few_members_fail(n):
    """Of samples among which one in ten never learned the median's interval holds the truth 95 times in 100."""
    samples = np.random.default_rng(4).choice(BIMODAL, (2000, n))
    intervals = [median_interval(sample) for sample in samples]
    assert np.mean([interval.low <= np.median(BIMODAL) <= interval.high for interval in intervals]) > 0.95


def test_students_interval_does_not_where_a_few_members_fail():
    """The reason why accuracies have no interval of their mean: with 8 members it holds it 85 times in 100."""
    samples = np.random.default_rng(4).choice(BIMODAL, (2000, 8))
    ends = ttest_1samp(samples, BIMODAL.mean(), axis=1).confidence_interval(0.95)
    assert np.mean((ends.low <= BIMODAL.mean()) & (BIMODAL.mean() <= ends.high)) < 0.9


@pytest.mark.parametrize(("hits", "n"), [(0, 8), (1, 8), (8, 8), (0, 64), (5, 64), (700, 1000)])
def test_an_interval_of_a_share_is_clopper_and_pearsons(hits, n):
    """Scipy's exact interval, also where all members or none have the property."""
    ends = binomtest(hits, n).proportion_ci(0.95, method="exact")
    interval = share_interval(hits, n)
    assert (interval.n, interval.estimate, interval.missing) == (n, hits / n, 0)
    assert (interval.low, interval.high) == pytest.approx((ends.low, ends.high), abs=1e-9)


def test_a_share_of_no_members_is_none():
    """Without members there is no share and no interval."""
    interval = share_interval(0, 0)
    assert interval.n == 0
    assert math.isnan(interval.estimate)
    assert not interval.has_interval


@pytest.mark.parametrize("n", [8, 16, 64])
def test_an_interval_of_a_share_covers_whatever_the_share(n):
    """Exactly, by the binomial distribution: Wilson's would hold a share of 0.015 of 8 members in 89 of 100."""
    intervals = [share_interval(hits, n) for hits in range(n + 1)]
    for share in (0.005, 0.015, 0.022, 0.1, 0.31, 0.5):
        holds = np.array([interval.low <= share <= interval.high for interval in intervals])
        assert binom.pmf(np.arange(n + 1), n, share)[holds].sum() >= 0.95
