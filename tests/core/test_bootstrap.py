"""The bootstrap against theory and simulation."""

import math

import numpy as np
import pytest
from claim_tables import (
    stream,
)

from mlp_core.statistics.bootstrap import bootstrap_interval, bootstrap_weights
from mlp_core.statistics.intervals import mean_interval


def test_resampled_means_are_means_of_draws_with_replacement():
    """Each row holds shares of n draws; each seed comes once on average, with the variance of such draws."""
    weights = bootstrap_weights(16, stream())
    halves = stream()
    assert (np.concatenate([bootstrap_weights(16, halves, 5000) for _ in range(2)]) == weights).all()
    counts = weights * 16
    assert weights.shape == (10_000, 16)
    assert np.array_equal(counts, counts.round())
    assert np.array_equal(counts.sum(1), np.full(10_000, 16.0))
    assert counts.mean(0) == pytest.approx(np.ones(16), abs=0.05)
    assert counts.var() == pytest.approx(15 / 16, rel=0.02)


def test_the_generator_decides():
    """The same generator gives the same interval, another a slightly different one."""
    values = stream(1).normal(size=20)
    first, again, other = (bootstrap_interval(bootstrap_weights(20, stream(seed)) @ values, 20) for seed in (2, 2, 3))
    assert first == again != other
    assert first == pytest.approx(other, abs=0.05)


@pytest.mark.parametrize("n", [8, 16, 64])
def test_the_interval_of_a_mean_is_students(n):
    """For symmetric values the bootstrap's interval of a mean is that of Student's t, with few seeds as with many."""
    half = np.abs(stream(4).normal(size=n // 2))
    values = np.concatenate([half, -half])
    low, high = bootstrap_interval(bootstrap_weights(n, stream()) @ values, n)
    expected = mean_interval(values)
    width = expected.high - expected.low
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=0.04 * width)


def test_intervals_cover_the_truth_95_times_in_100():
    """Of 1000 samples of 8 and of 32, 95 in 100 intervals hold the true mean, within three standard errors."""
    generator = stream(5)
    for n in (8, 32):
        hits = 0
        for sample in generator.normal(0.7, 0.1, (1000, n)):
            low, high = bootstrap_interval(bootstrap_weights(n, generator, 2000) @ sample, n)
            hits += low <= 0.7 <= high
        assert hits / 1000 == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 1000))


def test_the_ends_are_values_that_occur():
    """A measure with few values, such as a depth, has an interval between two of them."""
    resampled = np.repeat([2.0, 3.0], [300, 9700])
    assert bootstrap_interval(resampled, 1000) == (2.0, 3.0)
    assert bootstrap_interval(np.repeat([2.0, 3.0], [100, 9900]), 1000) == (3.0, 3.0)


def test_undefined_resamples_count_against_both_ends():
    """A few resamples without a value change nothing much; many leave no end at all."""
    resampled = stream().normal(size=10_000)
    resampled[:50] = np.nan
    low, high = bootstrap_interval(resampled, 64)
    assert (low, high) == pytest.approx((-2.0, 2.0), abs=0.25)
    resampled[:1000] = np.nan
    assert bootstrap_interval(resampled, 64) == (-math.inf, math.inf)


@pytest.mark.parametrize("n", [0, 1])
def test_one_seed_has_no_interval(n):
    """Nothing can be resampled from a single seed."""
    assert np.isnan(bootstrap_interval(np.ones(10), n)).all()
