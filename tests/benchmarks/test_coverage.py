"""Coverage is counted of the very intervals that the project shows."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from benchmarks import coverage
from mlp_core.statistics.intervals import median_interval, share_interval


@pytest.mark.parametrize("n", [8, 16, 64])
def test_intervals_of_many_samples_are_those_of_each(n):
    """What is made of all samples at once is what the report makes of one."""
    stream = np.random.default_rng(n)
    samples, hits = stream.uniform(size=(20, n)), stream.integers(2, size=(20, n)).astype(float)
    for method, values, single in (
        (coverage._order_statistics, samples, median_interval),
        (coverage._student, samples, lambda sample: ttest_1samp(sample, 0).confidence_interval(0.95)),
        (coverage._by_count(share_interval), hits, lambda sample: share_interval(int(sample.sum()), n)),
    ):
        expected = [(interval.low, interval.high) for interval in map(single, values)]
        np.testing.assert_allclose(np.stack(method(values), 1), expected)


def test_bounds_of_a_mean_hold_it():
    """Anderson's bounds of eight values in 0..1 lie on both sides of their mean and within 0..1."""
    samples = np.random.default_rng(0).uniform(size=(50, 8))
    low, high = coverage._anderson(samples)
    assert ((low >= 0) & (low < samples.mean(1)) & (samples.mean(1) < high) & (high <= 1)).all()


def test_coverage_counts_samples_that_hold_the_truth():
    """A normal mean is held 95 times in 100, a wrong one never, and equal members have no interval to count."""
    members = np.random.default_rng(0).normal(size=5000)

    def measured(truth, members=members):
        quantity = coverage.Quantity("some", "mean", "Student t", True, members, truth, coverage._student)
        return coverage.measure(quantity, 16, 4000)

    assert measured(members.mean()).share == pytest.approx(0.95, abs=0.015)
    assert measured(members.mean()).width == pytest.approx(2 * 2.131 / 4, rel=0.03)
    assert measured(9.0).share == 0
    assert measured(1.0, np.ones(100)).samples == 0
