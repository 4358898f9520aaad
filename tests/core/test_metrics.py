"""Student's t, means and their intervals against tables, hand calculation and simulation."""

import math

import numpy as np
import pytest

from mlp_core.metrics import MeanInterval, mean_interval, share_interval, student_t_factor

# 97.5 % quantiles as printed in statistical tables
T_TABLE = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228,
    11: 2.201, 15: 2.131, 20: 2.086, 29: 2.045, 30: 2.042, 40: 2.021, 60: 2.000, 120: 1.980,
}  # fmt: skip


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


def test_an_interval_by_hand():
    """Four values with mean 5 and standard error 1.2909944 have the interval 5 ± 3.182446 x 1.2909944."""
    found = mean_interval(np.array([2.0, 4.0, 6.0, 8.0]))
    assert (found.n, found.mean, found.missing) == (4, 5.0, 0)
    assert found.low == pytest.approx(5 - 3.182446 * 1.2909944, rel=1e-6)
    assert found.high == pytest.approx(5 + 3.182446 * 1.2909944, rel=1e-6)


def test_diverged_members_are_counted_and_never_averaged():
    """NaN and infinities change the count of the missing alone."""
    whole = mean_interval(np.array([0.5, 0.75, 0.625]))
    found = mean_interval(np.array([np.nan, 0.5, np.inf, 0.75, 0.625, -np.inf]))
    assert found == MeanInterval(3, whole.mean, whole.low, whole.high, missing=3)


@pytest.mark.parametrize(
    ("values", "n", "mean", "missing"),
    [([], 0, np.nan, 0), ([np.nan], 0, np.nan, 1), ([0.5], 1, 0.5, 0), ([0.5, np.nan], 1, 0.5, 1)],
)
def test_fewer_than_two_values_have_no_interval(values, n, mean, missing):
    """Nothing or a single member has a mean at most."""
    found = mean_interval(np.array(values))
    assert (found.n, found.missing) == (n, missing)
    assert np.array_equal([found.mean, found.low, found.high], [mean, np.nan, np.nan], equal_nan=True)


def test_an_interval_is_cut_to_what_is_possible():
    """Cutting to 0..1 moves the ends that stick out and no other, and leaves a missing end missing."""
    assert MeanInterval(2, 0.9, 0.7, 1.1, 0).within(0, 1) == MeanInterval(2, 0.9, 0.7, 1.0, 0)
    assert MeanInterval(2, 0.1, -0.1, 0.3, 0).within(0, 1) == MeanInterval(2, 0.1, 0.0, 0.3, 0)
    assert math.isnan(mean_interval(np.array([0.5])).within(0, 1).low)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, True), (2.0, 3.0, True), (2.5, 3.0, False), (-1.0, 0.9, False), (np.nan, np.nan, False)],
)
def test_overlap_needs_a_common_value(low, high, expected):
    """Touching intervals overlap, apart ones do not, and one that does not exist overlaps nothing."""
    first, second = MeanInterval(3, 1.5, 1.0, 2.0, 0), MeanInterval(3, 0.0, low, high, 0)
    assert first.overlaps(second) is second.overlaps(first) is expected


@pytest.mark.parametrize("n", [2, 5, 8])
def test_intervals_cover_the_truth_95_times_in_100(n):
    """Of 4000 intervals from normal samples, 95 % hold the true mean, within three standard errors of that share."""
    samples = np.random.default_rng(3).normal(0.7, 0.1, (4000, n))
    intervals = [mean_interval(sample) for sample in samples]
    share = np.mean([found.low <= 0.7 <= found.high for found in intervals])
    assert share == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 4000))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(0, 10, 0.0, 0.2775), (1, 10, 0.0179, 0.4042), (5, 10, 0.2366, 0.7634), (8, 8, 0.6756, 1)],
)
def test_an_interval_of_a_share_is_wilsons(hits, n, low, high):
    """Published values of the score interval, also where all members or none have the property."""
    found = share_interval(hits, n)
    assert (found.n, found.mean, found.missing) == (n, hits / n, 0)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_no_members_is_none():
    """Without members there is no share and no interval."""
    found = share_interval(0, 0)
    assert found.n == 0
    assert math.isnan(found.mean)


def test_an_interval_of_a_share_covers_the_truth_19_times_in_20():
    """Of many samples with a rare property the interval holds the true share about as often as it says."""
    hits = np.random.default_rng(0).binomial(64, 0.1, size=4000)
    intervals = {count: share_interval(int(count), 64) for count in set(hits)}
    covered = np.mean([intervals[count].low <= 0.1 <= intervals[count].high for count in hits])
    assert 0.93 < covered < 0.98
